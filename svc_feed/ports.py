"""What the domain of svc_feed needs from others. The docstrings are the rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from .model import (
    ABOVE_ALL,
    BELOW_ALL,
    Candidate,
    Changes,
    Entry,
    Glance,
    Post,
    PostId,
    Reach,
    Record,
    Relations,
    Score,
    Stats,
    UserId,
    WireBytes,
)


class FeedIndex(Protocol):
    """Who has which post in their home feed. Durable; the record of fan-out.

    Adding what is there and removing what is not change nothing. All methods raise
    Unavailable when the record does not answer.
    """

    async def add(self, viewers: Sequence[UserId], entry: Entry) -> None:
        """Places one post in many feeds. Not atomic: repeat it after a failure."""
        ...

    async def fill(self, viewer: UserId, entries: Sequence[Entry]) -> None:
        """Places many posts in one feed, all or none."""
        ...

    async def newest(
        self, viewer: UserId, *, limit: int, before: PostId = ABOVE_ALL
    ) -> list[Entry]:
        """The newest entries older than `before`, newest first.

        Fewer than `limit` means that nothing older is there.
        """
        ...

    async def remove_author(self, viewer: UserId, author: UserId) -> None:
        """Takes all posts of an author out of one feed."""
        ...

    async def remove_post(self, viewers: Sequence[UserId], post: PostId) -> None:
        """Takes one post out of many feeds."""
        ...

    async def erase(self, user: UserId) -> None:
        """Takes out the user's own feed, and their posts from all others.

        Looks at every row, slice by slice; repeat it after a failure.
        """
        ...


class HotFeeds(Protocol):
    """Copies of the newest part of feeds that are being read, in Valkey.

    A hot feed is whole above its floor: a post placed in the index before or while
    the hot feed was built is in it. To be sure of that, place in the index first,
    then append. All methods raise Unavailable when Valkey does not answer.
    """

    async def append(self, viewers: Sequence[UserId], entry: Entry) -> None:
        """Adds one post to those of the feeds that exist; makes none."""
        ...

    async def begin(self, viewer: UserId) -> str | None:
        """Starts to build a missing hot feed: call it before reading the index.

        None when somebody else is building it, or when it exists. What is appended
        from now on is kept for `finish`. A build that is not finished is forgotten
        after some seconds.
        """
        ...

    async def finish(self, viewer: UserId, build: str, hot: Sequence[Entry]) -> None:
        """Puts what the index held below what was appended meanwhile.

        `hot` is newest first and as long as the window, or all there is. Does nothing
        when the build was forgotten.
        """
        ...

    async def forget(self, viewers: Sequence[UserId]) -> None:
        """Drops hot feeds and builds under way; the next read builds anew."""
        ...


class Generations(Protocol):
    """The generation of hot feeds that may be believed, in the index's database."""

    async def current(self) -> int:
        """Raises Unavailable."""
        ...

    async def advance(self) -> None:
        """Makes all hot feeds there are unbelievable. Raises Unavailable."""
        ...


class HotTags(Protocol):
    """The same, as readers of hot feeds know it."""

    async def believe(self, generation: int) -> None:
        """From now on hot feeds of other generations count as missing.

        Never goes back to an older generation. Raises Unavailable.
        """
        ...


class Glances(Protocol):
    """The one round trip to Valkey at the start of a page."""

    async def take(self, viewer: UserId) -> Glance:
        """Never raises for a Valkey that does not answer: the glance says so."""
        ...


class PostCopies(Protocol):
    """Posts and counts that svc_ingest keeps in Valkey. Absence is ordinary.

    All methods raise Unavailable when Valkey does not answer.
    """

    async def posts(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        """Those of which a copy is known to be current."""
        ...

    async def stats(self, ids: Sequence[PostId]) -> Mapping[PostId, Stats]:
        """Those that are kept."""
        ...


class PostRecords(Protocol):
    """Posts as svc_ingest stores them. Raises Unavailable."""

    async def records(
        self, ids: Sequence[PostId], *, viewer: UserId
    ) -> Mapping[PostId, Record]:
        """Those that exist, with what the viewer did (0: nobody)."""
        ...

    async def recents(
        self,
        authors: Sequence[UserId],
        *,
        limit: int,
        after: PostId = BELOW_ALL,
        before: PostId = ABOVE_ALL,
    ) -> Mapping[UserId, Sequence[Entry]]:
        """The newest posts of each author between the bounds, newest first.

        Every author is a key. Fewer than `limit` of one means that there are no more.
        """
        ...


class Posts(Protocol):
    """Posts as a page sees them: from wherever they are near and current."""

    async def posts(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        """Those that exist. Raises Unavailable when one cannot be told."""
        ...

    async def stats(self, ids: Sequence[PostId]) -> Mapping[PostId, Stats]:
        """Counts; those that cannot be told are left out."""
        ...

    async def did(self, viewer: UserId, ids: Sequence[PostId]) -> Mapping[PostId, int]:
        """What the viewer did with posts, as flags; what cannot be told is left out."""
        ...

    async def own(self, viewer: UserId) -> Sequence[Entry]:
        """The viewer's newest posts as their owner knows them now.

        Raises Unavailable.
        """
        ...

    async def recents(
        self, authors: Sequence[UserId], *, before: PostId, limit: int
    ) -> Mapping[UserId, Sequence[Entry]]:
        """As PostRecords.recents; the newest ones trail by some seconds."""
        ...


class People(Protocol):
    """Profiles of authors."""

    async def profiles(self, ids: Sequence[UserId]) -> Mapping[UserId, WireBytes]:
        """User messages of those who can be seen. Raises Unavailable."""
        ...


class Graph(Protocol):
    """Who follows whom, as svc_graph's primary knows it now. Raises Unavailable."""

    async def relations(self, viewer: UserId, ids: Sequence[UserId]) -> Relations:
        """How the viewer stands to each."""
        ...

    async def followed_celebrities(self, viewer: UserId) -> frozenset[UserId]:
        """Whom the viewer follows of those whose posts are not fanned out."""
        ...

    async def reach(self, author: UserId) -> Reach:
        """How far a post of the author goes."""
        ...

    def followers(self, author: UserId) -> AsyncIterator[list[UserId]]:
        """All followers in pages of up to 1,000, ascending."""
        ...


class ReaderGraph(Protocol):
    """The graph as one reader's page may use it: fresh enough, asked once."""

    async def relations(self, ids: Sequence[UserId]) -> Relations:
        """How the reader stands to each. Raises Unavailable when it cannot be told."""
        ...

    async def celebrities(self) -> frozenset[UserId]:
        """Followed celebrities. Raises Unavailable."""
        ...


class ReaderGraphs(Protocol):
    """Opens the graph for a page."""

    def reader(self, viewer: UserId, *, mark: int | None, at_least: int) -> ReaderGraph:
        """`mark`: version read before this call; None when it is not known.

        `at_least`: version that the caller has seen; nothing older will do.
        """
        ...


class NearCopies(Protocol):
    """What this process keeps of posts, people and relations."""

    def apply(self, changes: Changes) -> None:
        """Makes copies of what changed unusable."""
        ...


class Ranker(Protocol):
    """Orders candidates."""

    async def rank(
        self,
        viewer: UserId,
        candidates: Sequence[Candidate],
        stats: Mapping[PostId, Stats],
    ) -> Sequence[tuple[PostId, Score]]:
        """Best first. A hint: it may name too few, too many, or the same twice.

        Raises a MeshError when ranking does not answer in its time.
        """
        ...
