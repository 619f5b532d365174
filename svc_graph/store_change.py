"""Changes of the graph: people locked, version, counts, marks and events as one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from google.protobuf.message import Message

from chassis import audit
from chassis.freshness import ChangeLog, VersionMarks
from chassis.outbox import Outbox
from chassis.postgres import Pool, Transaction

from .model import Person, UserId, UserState, Version

# In the order of the ids, everywhere: two changes of the same people queue up
# behind the first of them and never wait for each other.
LOCK = """
SELECT user_id, state, is_private, version FROM graph_state
WHERE user_id = ANY($1::bigint[])
ORDER BY user_id
FOR NO KEY UPDATE
"""

NEXT_VERSION = "SELECT nextval('graph_version')"

BUMP = """
UPDATE graph_state AS state
SET version = $4,
    follower_count = state.follower_count + delta.followers,
    following_count = state.following_count + delta.following
FROM unnest($1::bigint[], $2::int[], $3::int[]) AS delta (user_id, followers, following)
WHERE state.user_id = delta.user_id
RETURNING state.user_id, state.follower_count
"""

ADD_CELEBRITIES = """
INSERT INTO celebrity (user_id) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING
"""

DROP_CELEBRITIES = "DELETE FROM celebrity WHERE user_id = ANY($1::bigint[])"

LEAVE_SHARE = 0.9
"""A celebrity is one until the followers fall below this share of the threshold, so
that an account near the threshold does not go to and fro."""

MARKS_AT_ONCE = 128

Mark: TypeAlias = Callable[[Sequence[UserId], int], Awaitable[None]]


class Change:
    """What one transaction changes. Collected here, written when the block ends."""

    def __init__(
        self, *, tx: Transaction, people: dict[UserId, Person], version: Version
    ) -> None:
        self.tx = tx
        self.people = people
        self.version = version
        """The version of this change, if it turns out to be one."""
        self.events: list[tuple[Message, UserId]] = []
        self.stale: list[UserId] = []
        self.deltas: dict[UserId, list[int]] = {}

    def person(self, user: UserId) -> Person:
        """A locked person; DELETED for nobody."""
        nobody = Person(user, UserState.DELETED, False, Version(0))
        return self.people.get(user, nobody)

    def touch(self, *users: UserId) -> None:
        """The relations of these people change."""
        for user in users:
            self.deltas.setdefault(user, [0, 0])

    def count(self, follower: UserId, followee: UserId, by: int) -> None:
        """A follow came (1) or went (-1)."""
        self.deltas.setdefault(followee, [0, 0])[0] += by
        self.deltas.setdefault(follower, [0, 0])[1] += by

    def publish(self, event: Message, about: UserId) -> None:
        """Tells the other rooms, once this is committed."""
        self.events.append((event, about))

    def expire(self, user: UserId) -> None:
        """What near caches hold of this person is out of date."""
        self.stale.append(user)

    async def record(self, *, who: str, what: str, target: object) -> None:
        """Writes the audit row of what is done here."""
        await audit.record(
            self.tx, who=who, what=what, target=str(target), outcome="OK"
        )


class Changes:
    """Opens changes."""

    def __init__(
        self,
        *,
        pool: Pool,
        outbox: Outbox,
        marks: VersionMarks,
        log: ChangeLog,
        celebrity_threshold: int,
    ) -> None:
        self._pool = pool
        self._outbox = outbox
        self._marks = marks
        self._log = log
        self._enter = celebrity_threshold
        self._leave = int(celebrity_threshold * LEAVE_SHARE)

    @asynccontextmanager
    async def locking(self, users: Iterable[UserId]) -> AsyncIterator[Change]:
        """A change with these people locked; only they may be touched in it."""
        async with self._pool.transaction() as tx:
            rows = await tx.fetch(LOCK, sorted(set(users)))
            people = {
                row[0]: Person(row[0], UserState(row[1]), *row[2:]) for row in rows
            }
            version = Version(await tx.fetchval(NEXT_VERSION))
            change = Change(tx=tx, people=people, version=version)
            yield change
            touched = await self._write(change)
        await self._mark(self._marks.settle, touched, change.version)
        # Once more: a near cache may have filled itself before the commit.
        await self._announce(change.stale)
        if change.events:
            self._outbox.wake()

    async def _write(self, change: Change) -> Sequence[UserId]:
        touched = sorted(change.deltas)
        # Beside the statements, as long as the rows are locked anyway.
        announced = asyncio.gather(
            self._announce(change.stale),
            self._mark(self._marks.begin, touched, change.version),
        )
        try:
            if touched:
                await self._bump(change, touched)
            for event, about in change.events:
                await self._outbox.append(
                    change.tx, event, aggregate_id=about, version=change.version
                )
        finally:
            # The commit waits: nobody may read the old with a mark that says new.
            await announced
        return touched

    async def _announce(self, stale: Sequence[UserId]) -> None:
        if stale:
            await self._log.append([f"u:{user}" for user in stale])

    async def _mark(self, mark: Mark, touched: Sequence[UserId], version: int) -> None:
        """Marks in groups: a script of a thousand keys holds up everybody's reads."""
        await asyncio.gather(
            *(
                mark(touched[start : start + MARKS_AT_ONCE], version)
                for start in range(0, len(touched), MARKS_AT_ONCE)
            )
        )

    async def _bump(self, change: Change, touched: Sequence[UserId]) -> None:
        followers = [change.deltas[user][0] for user in touched]
        following = [change.deltas[user][1] for user in touched]
        rows = await change.tx.fetch(
            BUMP, touched, followers, following, change.version
        )
        entered, left = [], []
        for user, count in rows:
            before = count - change.deltas[user][0]
            if before < self._enter <= count:
                entered.append(user)
            if count < self._leave <= before:
                left.append(user)
        if entered:
            await change.tx.execute(ADD_CELEBRITIES, entered)
        if left:
            await change.tx.execute(DROP_CELEBRITIES, left)
