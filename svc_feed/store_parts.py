"""Work that is cut into parts: what is left of it goes to the outbox of svc_feed.

The outbox, and how far reach migrations came, are in the database of the first shard.
"""

from __future__ import annotations

from datetime import datetime

from feedmesh.feed.v1.events_pb2 import FanOutContinued, ReachMigrationContinued

from chassis.outbox import Outbox
from chassis.postgres import Pool

from .model import Entry, ReachMove, UserId

NOTE = """
INSERT INTO reach_move AS move (author_id, version, placed_since)
VALUES ($1, $2, $3)
ON CONFLICT (author_id) DO UPDATE
SET version = excluded.version, placed_since = excluded.placed_since,
    placed_up_to = 0, is_done = false
WHERE move.version < excluded.version
"""

LAST = """
SELECT version, placed_since, placed_up_to, is_done FROM reach_move
WHERE author_id = $1
"""

ADVANCE = """
UPDATE reach_move SET placed_up_to = $3
WHERE author_id = $1 AND version = $2 AND placed_up_to < $3
RETURNING placed_up_to
"""

FINISH = "UPDATE reach_move SET is_done = true WHERE author_id = $1 AND version = $2"


class PostgresContinuations:
    """Continuations as events of our own."""

    def __init__(self, *, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def fan_out(self, entry: Entry, *, after: UserId) -> None:
        event = FanOutContinued(
            post_id=entry.post_id,
            author_id=entry.author_id,
            after_follower_id=after,
        )
        await self._outbox.append(
            self._pool, event, aggregate_id=entry.post_id, version=after
        )
        self._outbox.wake()


class PostgresReachMoves:
    """ReachMoves on Postgres."""

    def __init__(self, *, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def note(
        self, author: UserId, version: int, *, placed_since: datetime | None
    ) -> ReachMove:
        await self._pool.execute(NOTE, author, version, placed_since)
        noted = await self.last(author)
        assert noted is not None
        return noted

    async def last(self, author: UserId) -> ReachMove | None:
        row = await self._pool.fetchrow(LAST, author)
        return None if row is None else ReachMove(*row)

    async def advance(self, author: UserId, version: int, *, after: UserId) -> None:
        event = ReachMigrationContinued(
            user_id=author, reach_version=version, after_follower_id=after
        )
        async with self._pool.transaction() as tx:
            if await tx.fetchval(ADVANCE, author, version, after) is None:
                return
            await self._outbox.append(tx, event, aggregate_id=author, version=version)
        self._outbox.wake()

    async def finish(self, author: UserId, version: int) -> None:
        await self._pool.execute(FINISH, author, version)
