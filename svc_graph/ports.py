"""What the domain of svc_graph needs from engines and libraries."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from .model import (
    Changed,
    Checked,
    Created,
    Credential,
    Drift,
    Followed,
    Imported,
    Listed,
    NewUser,
    Person,
    Position,
    Profile,
    ProfileChange,
    PublicKey,
    Reach,
    Relation,
    RequestKey,
    Rotated,
    SessionId,
    Ties,
    UserId,
    Version,
)


class Users(Protocol):
    """Accounts. Every change is one transaction with its event and its version."""

    async def create(
        self, new: NewUser, *, password_hash: str, request: RequestKey | None
    ) -> Created:
        """Makes an account.

        A request key seen before answers the account it made, changing nothing;
        with another digest it raises Aborted. A taken handle raises AlreadyExists.
        """
        ...

    async def profiles(
        self, users: Sequence[UserId], *, reader: UserId
    ) -> list[Profile]:
        """Those whom the reader may see, in no particular order.

        Left out: who does not exist, is not active, or blocks the reader.
        """
        ...

    async def of_handle(self, handle: str, *, reader: UserId) -> Profile | None:
        """The person of a handle; None where profiles() would leave them out."""
        ...

    async def update(
        self, user: UserId, change: ProfileChange, *, etag: str, accept_limit: int
    ) -> Changed:
        """Changes a profile.

        A non-empty etag other than the present one raises Aborted. Going public
        turns up to `accept_limit` open requests into follows in the same
        transaction; Sweeps does the rest. No new value changes nothing. NotFound
        unless the account is active.
        """
        ...


class Standing(Protocol):
    """Whether accounts can be seen and used. Each change is one transaction."""

    async def suspend(
        self, user: UserId, *, who: str, reason: str, now: datetime
    ) -> Changed:
        """Suspends an account and ends its sessions, audited; twice is once.

        NotFound when there is no such account.
        """
        ...

    async def reinstate(self, user: UserId, *, who: str) -> Changed:
        """Ends a suspension, audited; nothing to end is no error. NotFound as above."""
        ...

    async def delete(self, user: UserId, *, who: str, edge_limit: int) -> Version:
        """Erases an account, audited, leaving a tombstone; twice is once.

        Profile, password, sessions, requests, blocks and mutes go in this
        transaction, and follows too up to `edge_limit`; Sweeps does the rest, and
        until then no read shows the account. NotFound when it never existed.
        """
        ...


class Credentials(Protocol):
    """What passwords are checked against."""

    async def of_handle(self, handle: str) -> Credential | None:
        """By handle, whatever the account's state; None for nobody."""
        ...

    async def of_user(self, user: UserId) -> Credential | None:
        """The same by id."""
        ...


class Sweeps(Protocol):
    """What a change of an account leaves to do, in bounded steps, safe to repeat."""

    async def erase_edges(self, user: UserId, *, limit: int) -> int:
        """Ends up to `limit` follows of a deleted account; how many it ended.

        0 means that nothing is left, or that the account is not deleted.
        """
        ...

    async def accept_requests(self, user: UserId, *, limit: int) -> int:
        """Turns up to `limit` requests to a public account into follows.

        0 means that nothing is left, or that the account is not public.
        """
        ...


class SessionRecords(Protocol):
    """Sessions and the hashes of their refresh tokens."""

    async def open(
        self,
        session: SessionId,
        user: UserId,
        *,
        token_hash: bytes,
        now: datetime,
        expires_at: datetime,
    ) -> bool:
        """Opens a session, audited. False when the account is not active."""
        ...

    async def rotate(
        self,
        old_hash: bytes,
        new_hash: bytes,
        *,
        now: datetime,
        expires_at: datetime,
    ) -> Rotated:
        """Trades a refresh token for the next, once.

        A token shown a second time revokes its session. A token that is unknown, or
        of a session that ended or expired, is UNKNOWN and changes nothing. Of two
        concurrent trades of one token exactly one is ROTATED.
        """
        ...

    async def revoke(self, token_hash: bytes, *, now: datetime) -> SessionId | None:
        """Ends the session of a refresh token, audited; None for an unknown one."""
        ...

    async def unmarked(self, *, since: datetime, limit: int) -> list[SessionId]:
        """Sessions revoked since then of which the edge may not know yet."""
        ...

    async def set_marked(self, sessions: Sequence[SessionId]) -> None:
        """Notes that the edge knows of these revocations.

        Of a deleted account the session itself goes then.
        """
        ...

    async def prune(self, *, now: datetime, limit: int) -> int:
        """Deletes up to `limit` expired sessions with their tokens; how many."""
        ...


class Revocations(Protocol):
    """Marks by which the edge refuses access tokens before they expire."""

    async def revoke_session(self, session: SessionId) -> None:
        """Voids the access tokens of a session. Unavailable when it cannot be told."""
        ...

    async def revoke_user(self, user: UserId, *, before: datetime) -> None:
        """Voids all tokens of a person issued up to then; a later mark stands.

        Unavailable when it cannot be told.
        """
        ...


class PasswordHashes(Protocol):
    """Slow hashes, made away from the event loop."""

    async def hash(self, password: str) -> str:
        """A salted hash, parameters included."""
        ...

    async def fits(self, password: str, password_hash: str | None) -> bool:
        """Whether the password made the hash. None never fits, and takes as long."""
        ...


class TokenSigner(Protocol):
    """Signs access tokens. Lifetimes are in seconds."""

    def for_person(
        self, user: UserId, *, session: SessionId, is_admin: bool, ttl: int
    ) -> str:
        """A token of a person."""
        ...

    def for_service(self, name: str, *, ttl: int) -> str:
        """A token of an outside service, which may act as any person."""
        ...

    def public_keys(self) -> list[PublicKey]:
        """What the tokens are verified with; the keys of some time ago included."""
        ...


class AuditTrail(Protocol):
    """Who did what. A change is written with its own transaction, not through here."""

    async def done(self, *, who: str, what: str, target: str) -> None:
        """Adds a row for something that changed nothing in the database."""
        ...

    async def refused(self, *, who: str, what: str, target: str, reason: str) -> None:
        """Adds a row for an attempt that was refused."""
        ...


class Pair(Protocol):
    """Two people with their rows locked: what stands between them may be changed.

    Read at entry, after the locks. Changes become visible together when the pair is
    left without an exception; leaving with one undoes them.
    """

    @property
    def me(self) -> Person: ...

    @property
    def other(self) -> Person:
        """DELETED also where there never was one."""
        ...

    @property
    def ties(self) -> Ties: ...

    @property
    def version(self) -> Version:
        """From which version on the changes hold; mine, as long as there are none."""
        ...

    async def add_follow(self, follower: UserId, followee: UserId) -> None:
        """Places a follow that is not there, counts it, tells UserFollowed."""
        ...

    async def end_follow(self, follower: UserId, followee: UserId) -> None:
        """Ends a follow that is there, counts it, tells UserUnfollowed."""
        ...

    async def add_request(self, requester: UserId, target: UserId) -> None:
        """Places a request that is not there. Changes no relation and no version."""
        ...

    async def end_request(self, requester: UserId, target: UserId) -> None:
        """Takes a request away. Changes no relation and no version."""
        ...

    async def add_block(self) -> None:
        """Places my block of the other, audited, tells UserBlocked."""
        ...

    async def end_block(self) -> None:
        """Ends my block of the other, audited, tells UserUnblocked."""
        ...

    async def set_mute(self, until: datetime | None) -> None:
        """Mutes the other for me, tells UserMuted.

        Replaces the end of a mute that is there; the same end changes nothing.
        """
        ...

    async def end_mute(self) -> None:
        """Ends my mute of the other, which is there, tells UserUnmuted."""
        ...


class Edges(Protocol):
    """Opens pairs."""

    def pair(self, me: UserId, other: UserId) -> AbstractAsyncContextManager[Pair]:
        """Locks both, always in the same order, so that pairs never deadlock."""
        ...


class Celebrities(Protocol):
    """Who has so many followers that their posts are pulled.

    The changes of the counts decide: from the threshold on an author is pulled, which
    is told as ReachChanged, but by bulk writes; below nine tenths of it the author is
    leaving, which is told too, and pulled until that is completed.
    """

    async def recount(self) -> None:
        """Decides anew about everyone, as bulk writes do: for a new threshold."""
        ...

    async def complete(self, user: UserId, version: Version) -> bool:
        """The author who left by the change of this version is not pulled any more.

        False, changing nothing, when the author came back or left anew since. True
        again when that is told twice, or when nobody pulls the author anyway.
        """
        ...


class Counters(Protocol):
    """The stored counts of follows, which no write takes below 0."""

    async def check(self, *, after: UserId, limit: int) -> Checked:
        """Counts anew for up to `limit` people with higher ids, ascending.

        Counts and follows are of one snapshot: a follow under way is no drift. The
        deleted are looked at too. `last` is `after` when nobody is left.
        """
        ...

    async def repair(self, users: Sequence[UserId], *, who: str) -> list[Drift]:
        """Stores what is counted with these people locked, audited; what was wrong.

        No follow comes in between. The reach follows the new count. No version
        changes: relations stay as they are.
        """
        ...


class Listings(Protocol):
    """Lists of people by their edges, newest edge first, from after a position.

    People who are not active are left out, and but for blocks also those who block
    the reader or whom the reader blocks. At most `limit` come back, fewer only at
    the end.
    """

    async def followers(
        self, of: UserId, *, reader: UserId, limit: int, after: Position
    ) -> list[Listed]: ...

    async def following(
        self, of: UserId, *, reader: UserId, limit: int, after: Position
    ) -> list[Listed]: ...

    async def requests(
        self, of: UserId, *, limit: int, after: Position
    ) -> list[Listed]: ...

    async def blocks(
        self, of: UserId, *, limit: int, after: Position
    ) -> list[Listed]: ...

    async def mutes(
        self, of: UserId, *, limit: int, after: Position, now: datetime
    ) -> list[Listed]:
        """Without the mutes that ended by now."""
        ...


class Relations(Protocol):
    """How people stand to each other, as the record knows it now."""

    async def of(
        self, viewer: UserId, users: Sequence[UserId], *, now: datetime
    ) -> tuple[list[Relation], Version]:
        """One relation each, in the order asked for, from one snapshot.

        With the newest version of the viewer that they hold. Who never existed is
        DELETED. To themself, and to viewer 0, all ties are false.
        """
        ...

    def followers(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[UserId]]:
        """All followers with a higher id in pages of `size`, ascending."""
        ...

    def following(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[Followed]]:
        """All whom a person follows, of whatever state, as followers()."""
        ...

    async def reach(self, user: UserId, *, now: datetime) -> Reach:
        """Zero for nobody and for the deleted; fanned out, as by default."""
        ...

    async def followed_celebrities(self, viewer: UserId) -> list[UserId]:
        """All pulled people whom a person follows, ascending; active ones only."""
        ...


class Imports(Protocol):
    """Bulk writes. Each batch is one transaction, audited once."""

    async def add_users(
        self, users: Sequence[NewUser], *, who: str
    ) -> dict[str, UserId]:
        """Makes the accounts whose handles are free; all ids by handle."""
        ...

    async def add_follows(
        self, edges: Sequence[tuple[UserId, UserId]], *, who: str
    ) -> Imported:
        """Places the edges (follower, followee) that are not there, as one event.

        Edges across a block change nothing. NotFound when one of the people is not
        there or deleted: then nothing is stored. Batches in parallel neither deadlock
        nor miscount.
        """
        ...


class Profiles(Protocol):
    """The one read that token issuing needs of accounts."""

    async def of_handle(self, handle: str, *, reader: UserId) -> Profile | None:
        """As Users.of_handle."""
        ...
