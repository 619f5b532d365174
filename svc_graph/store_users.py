"""Accounts and their profiles."""

from collections.abc import Sequence

from feedmesh.graph.v1 import events_pb2

from chassis.clock import Clock
from chassis.errors import Aborted, AlreadyExists, NotFound
from chassis.idempotency import RequestRecords
from chassis.postgres import Pool, Transaction

from .model import (
    Changed,
    Created,
    NewUser,
    Profile,
    ProfileChange,
    RequestKey,
    User,
    UserId,
    UserState,
)
from .store_change import Change, Changes
from .store_rows import profile_of, user_by_id
from .store_sweeps import accept_open_requests, neighbours

ADD_ACCOUNT = """
INSERT INTO account (user_id, handle, display_name, updated_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (handle) DO NOTHING
RETURNING user_id
"""

ADD_STATE = "INSERT INTO graph_state (user_id) VALUES ($1)"

ADD_CREDENTIAL = "INSERT INTO credential (user_id, password_hash) VALUES ($1, $2)"

PROFILES = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision, follower_count, following_count
FROM account JOIN graph_state AS graph ON graph.user_id = account.user_id
WHERE account.user_id = ANY($1::bigint[]) AND graph.state = 1
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = account.user_id AND blocked_id = $2
    )
"""

PROFILE_OF_HANDLE = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision, follower_count, following_count
FROM account JOIN graph_state AS graph ON graph.user_id = account.user_id
WHERE account.handle = $1 AND graph.state = 1
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = account.user_id AND blocked_id = $2
    )
"""

# An emptied name is read as at sign-up.
UPDATE = """
UPDATE account SET
    display_name = coalesce(nullif(coalesce($2, display_name), ''), handle),
    bio = coalesce($3, bio),
    revision = revision + 1,
    updated_at = $4
WHERE user_id = $1
"""

SET_PRIVATE = "UPDATE graph_state SET is_private = $2 WHERE user_id = $1"


class PostgresUsers:
    """Users on Postgres."""

    def __init__(
        self, *, pool: Pool, changes: Changes, requests: RequestRecords, clock: Clock
    ) -> None:
        self._pool = pool
        self._changes = changes
        self._requests = requests
        self._clock = clock

    async def create(
        self, new: NewUser, *, password_hash: str, request: RequestKey | None
    ) -> Created:
        async with self._pool.transaction() as tx:
            earlier = await self._claim(tx, request)
            if earlier is not None:
                return Created(await user_by_id(tx, earlier), is_replay=True)
            made = await tx.fetchval(
                ADD_ACCOUNT,
                new.user_id,
                new.handle,
                new.display_name,
                self._clock.now(),
            )
            if made is None:
                raise AlreadyExists("HANDLE_TAKEN")
            await tx.execute(ADD_STATE, new.user_id)
            await tx.execute(ADD_CREDENTIAL, new.user_id, password_hash)
            await self._keep(tx, request, new.user_id)
            return Created(await user_by_id(tx, new.user_id), is_replay=False)

    async def profiles(
        self, users: Sequence[UserId], *, reader: UserId
    ) -> list[Profile]:
        return [
            profile_of(row) for row in await self._pool.fetch(PROFILES, users, reader)
        ]

    async def of_handle(self, handle: str, *, reader: UserId) -> Profile | None:
        row = await self._pool.fetchrow(PROFILE_OF_HANDLE, handle, reader)
        return profile_of(row) if row else None

    async def update(
        self, user: UserId, change: ProfileChange, *, etag: str, accept_limit: int
    ) -> Changed:
        others: list[UserId] = []
        if change.is_private is False:
            # Going public concerns those who ask.
            others = await neighbours(self._pool, "requests", user, accept_limit)
        async with self._changes.locking((user, *others)) as opened:
            person = opened.person(user)
            if person.state is not UserState.ACTIVE:
                raise NotFound("USER_NOT_FOUND")
            before = await user_by_id(opened.tx, user)
            if etag and etag != before.etag:
                raise Aborted("ETAG_MISMATCH")
            if _is_same(before, change):
                return Changed(before, person.version)
            await self._update(opened, before, change)
            if before.is_private and change.is_private is False:
                await accept_open_requests(opened, user, others)
            after = await user_by_id(opened.tx, user)
        return Changed(after, opened.version)

    async def _update(
        self, opened: Change, before: User, change: ProfileChange
    ) -> None:
        user = before.user_id
        await opened.tx.execute(
            UPDATE, user, change.display_name, change.bio, self._clock.now()
        )
        is_private = before.is_private
        if change.is_private is not None and change.is_private != is_private:
            is_private = change.is_private
            await opened.tx.execute(SET_PRIVATE, user, is_private)
            what = "user.privacy.on" if is_private else "user.privacy.off"
            await opened.record(who=f"user:{user}", what=what, target=user)
        opened.touch(user)
        opened.expire(user)
        event = events_pb2.UserUpdated(user_id=user, is_private=is_private)
        opened.publish(event, user)

    async def _claim(
        self, tx: Transaction, request: RequestKey | None
    ) -> UserId | None:
        if request is None:
            return None
        stored = await self._requests.claim(
            tx,
            caller=request.caller,
            method=request.method,
            key=request.key,
            digest=request.digest,
        )
        return None if stored is None else UserId(int.from_bytes(stored))

    async def _keep(
        self, tx: Transaction, request: RequestKey | None, made: UserId
    ) -> None:
        if request is not None:
            await self._requests.keep(
                tx,
                caller=request.caller,
                method=request.method,
                key=request.key,
                response=made.to_bytes(8),
            )


def _is_same(user: User, change: ProfileChange) -> bool:
    """Whether the change says nothing new."""
    wanted = (change.display_name, change.bio, change.is_private)
    present = (user.display_name, user.bio, user.is_private)
    return all(
        new is None or new == old for new, old in zip(wanted, present, strict=True)
    )
