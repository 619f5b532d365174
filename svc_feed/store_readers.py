"""The feed_reader table: who reads, and for whom posts are placed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg

from chassis import deadline, ids
from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, Unavailable
from chassis.shards import Shards

from .model import ReaderState, UserId

# One statement, so that of two at once the second waits for the first and sees what
# it wrote. The moment before is kept in the row, because what a row held before an
# update cannot be returned by every Postgres.
TOUCH = """
INSERT INTO feed_reader AS reader (viewer_id, last_read_at, is_whole)
VALUES ($1, $2, $3)
ON CONFLICT (viewer_id) DO UPDATE
SET last_read_at = greatest(reader.last_read_at, excluded.last_read_at),
    before_that = reader.last_read_at,
    is_whole = reader.is_whole AND reader.last_read_at >= $4
RETURNING before_that, pulls, is_whole
"""

STATE = """
SELECT last_read_at, pulls, is_whole FROM feed_reader WHERE viewer_id = $1
"""

SET_PULLS = """
INSERT INTO feed_reader (viewer_id, last_read_at, pulls) VALUES ($1, $2, $3)
ON CONFLICT (viewer_id) DO UPDATE SET pulls = excluded.pulls
"""

SET_WHOLE = """
INSERT INTO feed_reader (viewer_id, last_read_at, is_whole) VALUES ($1, $2, $3)
ON CONFLICT (viewer_id) DO UPDATE SET is_whole = excluded.is_whole
"""

FORGET = "DELETE FROM feed_reader WHERE viewer_id = $1"

NEXT_AFTER = "SELECT min(viewer_id) FROM feed_reader WHERE viewer_id > $1"

TIERS = """
SELECT count(*) FILTER (WHERE last_read_at >= $1) AS hot,
       count(*) FILTER (WHERE last_read_at < $1 AND last_read_at >= $2) AS warm,
       count(*) FILTER (WHERE last_read_at < $2) AS cold
FROM feed_reader
"""


class PostgresReaders:
    """Readers on Postgres, each on the shard of their index."""

    def __init__(
        self,
        *,
        shards: Shards,
        clock: Clock,
        hot_ttl: timedelta,
        idle_after: timedelta,
        read_seconds: float,
    ) -> None:
        """`read_seconds`: what a page may wait for, less than its deadline."""
        self._shards = shards
        self._clock = clock
        self._hot_ttl = hot_ttl
        self._idle_after = idle_after
        self._read_seconds = read_seconds

    async def touch(self, viewer: UserId) -> ReaderState:
        now = self._clock.now()
        idle_before = now - self._idle_after
        is_whole = ids.time_of(viewer) >= idle_before
        async with self._in_time():
            row = await self._shards.pool(viewer).fetchrow(
                TOUCH, viewer, now, is_whole, idle_before
            )
        assert row is not None
        return _state(viewer, row)

    async def state(self, viewer: UserId) -> ReaderState:
        async with self._in_time():
            row = await self._shards.pool(viewer).fetchrow(STATE, viewer)
        return ReaderState() if row is None else _state(viewer, row)

    def is_idle(self, viewer: UserId, state: ReaderState) -> bool:
        last = state.last_read or ids.time_of(viewer)
        return last < self._clock.now() - self._idle_after

    async def set_pulls(self, viewer: UserId, pulls: bool) -> None:
        made = ids.time_of(viewer)
        await self._shards.pool(viewer).execute(SET_PULLS, viewer, made, pulls)

    async def set_whole(self, viewer: UserId, is_whole: bool) -> None:
        made = ids.time_of(viewer)
        await self._shards.pool(viewer).execute(SET_WHOLE, viewer, made, is_whole)

    async def forget(self, viewer: UserId) -> None:
        await self._shards.pool(viewer).execute(FORGET, viewer)

    async def next_after(self, viewer: UserId) -> UserId | None:
        found = [await pool.fetchval(NEXT_AFTER, viewer) for pool in self._shards.all()]
        return min((one for one in found if one is not None), default=None)

    async def tiers(self) -> Mapping[str, int]:
        now = self._clock.now()
        bounds = (now - self._hot_ttl, now - self._idle_after)
        found: Counter[str] = Counter(hot=0, warm=0, cold=0)
        for pool in self._shards.all():
            row = await pool.fetchrow(TIERS, *bounds)
            assert row is not None
            found.update(dict(row))
        return found

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with deadline.limit(self._read_seconds):
                yield
        except DeadlineExceeded as error:
            # As for the index: the page itself may have time left.
            raise Unavailable(
                "DEPENDENCY_UNAVAILABLE",
                "the feed index does not answer",
                retry_after=1,
            ) from error


def _state(viewer: UserId, row: asyncpg.Record) -> ReaderState:
    last: datetime | None = row[0]
    # Nobody read before their account was made: that is what stands in for never.
    if last is not None and last <= ids.time_of(viewer):
        last = None
    return ReaderState(last, row[1], row[2])
