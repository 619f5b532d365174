"""Changes of the graph: people locked, version, counts, marks and events as one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeAlias

from google.protobuf.message import Message

from chassis import audit
from chassis.clock import Clock
from chassis.freshness import ChangeLog, VersionMarks
from chassis.outbox import Outbox
from chassis.postgres import Pool, Transaction

from .model import Person, UserId, UserState, Version
from .store_reach import LOOK, Counted, ReachRule, move

# In the order of the ids, everywhere: two changes of the same people queue up
# behind the first of them and never wait for each other.
LOCK = """
SELECT user_id, state, is_private, version FROM graph_state
WHERE user_id = ANY($1::bigint[])
ORDER BY user_id
FOR NO KEY UPDATE
"""

NEXT_VERSION = "SELECT nextval('graph_version')"

# Rows of Counted. A count that drifted does not keep anybody from unfollowing.
BUMP = """
UPDATE graph_state AS state
SET version = $4,
    follower_count = greatest(state.follower_count + delta.followers, 0),
    following_count = greatest(state.following_count + delta.following, 0)
FROM unnest($1::bigint[], $2::int[], $3::int[]) AS delta (user_id, followers, following)
WHERE state.user_id = delta.user_id
RETURNING state.user_id, state.follower_count, state.state,
    (SELECT leaving_version IS NOT NULL FROM celebrity WHERE user_id = state.user_id)
"""

MARKS_AT_ONCE = 128

Mark: TypeAlias = Callable[[Sequence[UserId], int], Awaitable[None]]


class Change:
    """What one transaction changes. Collected here, written when the block ends."""

    def __init__(
        self,
        *,
        tx: Transaction,
        people: dict[UserId, Person],
        version: Version,
        at: datetime,
    ) -> None:
        self.tx = tx
        self.people = people
        self.version = version
        """The version of this change, if it turns out to be one."""
        self.at = at
        """When it happened: after the locks."""
        self.is_bulk = False
        """Whoever has enough followers now is pulled at once, without a grace."""
        self.events: list[tuple[Message, UserId]] = []
        self.stale: list[UserId] = []
        self.repulled: list[UserId] = []
        self.recounted: set[UserId] = set()
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

    def repull(self, user: UserId) -> None:
        """Whether readers pull this person's posts changes."""
        self.repulled.append(user)

    def recount(self, user: UserId) -> None:
        """Decides by the count of followers as it is stored by then."""
        self.recounted.add(user)

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
        clock: Clock,
        celebrity_threshold: int,
    ) -> None:
        self._pool = pool
        self._outbox = outbox
        self._marks = marks
        self._log = log
        self._clock = clock
        self._rule = ReachRule(celebrity_threshold)

    @asynccontextmanager
    async def locking(self, users: Iterable[UserId]) -> AsyncIterator[Change]:
        """A change with these people locked; only they may be touched in it."""
        async with self._pool.transaction() as tx:
            rows = await tx.fetch(LOCK, sorted(set(users)))
            people = {
                row[0]: Person(row[0], UserState(row[1]), *row[2:]) for row in rows
            }
            version = Version(await tx.fetchval(NEXT_VERSION))
            at = self._clock.now()
            change = Change(tx=tx, people=people, version=version, at=at)
            yield change
            touched = await self._write(change)
        await self._mark(self._marks.settle, touched, change.version)
        # Once more: a near cache may have filled itself before the commit.
        await self._announce(change.stale, change.repulled)
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
            people = await self._bump(change, touched) if touched else []
            await self._move(change, people)
            for event, about in change.events:
                await self._outbox.append(
                    change.tx, event, aggregate_id=about, version=change.version
                )
            await self._announce((), change.repulled)
        finally:
            # The commit waits: nobody may read the old with a mark that says new.
            await announced
        return touched

    async def _announce(
        self, stale: Sequence[UserId], repulled: Sequence[UserId] = ()
    ) -> None:
        entries = [f"u:{user}" for user in stale] + [f"c:{user}" for user in repulled]
        if entries:
            await self._log.append(entries)

    async def _mark(self, mark: Mark, touched: Sequence[UserId], version: int) -> None:
        """Marks in groups: a script of a thousand keys holds up everybody's reads."""
        await asyncio.gather(
            *(
                mark(touched[start : start + MARKS_AT_ONCE], version)
                for start in range(0, len(touched), MARKS_AT_ONCE)
            )
        )

    async def _bump(self, change: Change, touched: Sequence[UserId]) -> list[Counted]:
        followers = [change.deltas[user][0] for user in touched]
        following = [change.deltas[user][1] for user in touched]
        rows = await change.tx.fetch(
            BUMP, touched, followers, following, change.version
        )
        return [Counted(*row) for row in rows]

    async def _move(self, change: Change, people: list[Counted]) -> None:
        """Lets those whose followers changed enter or leave the celebrities."""
        others = sorted(change.recounted - change.deltas.keys())
        if others:
            people += [Counted(*row) for row in await change.tx.fetch(LOOK, others)]
        at = None if change.is_bulk else change.at
        for user, event in await move(
            change.tx, self._rule, people, version=change.version, at=at
        ):
            change.repull(user)
            if event is not None:
                change.publish(event, user)
