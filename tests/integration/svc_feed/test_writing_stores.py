"""What fan-out and migrations keep, against real engines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from feedmesh.feed.v1.events_pb2 import FanOutContinued, ReachMigrationContinued

from chassis.clock import SystemClock
from chassis.ids import Ids, floor_of
from chassis.outbox import Outbox
from chassis.postgres import Pool, open_pool
from chassis.shards import open_shards
from chassis.testing import NOON, FakeClock, database

from svc_feed.model import Entry, PostId, UserId
from svc_feed.ports import FeedIndex, Readers
from svc_feed.store import PostgresFeedIndex
from svc_feed.store_audience import STANDING, Audience
from svc_feed.store_parts import PostgresContinuations, PostgresReachMoves
from svc_feed.store_readers import PostgresReaders
from tests.contract.feed_audience_contract import POST, FeedAudienceContract
from tests.contract.reach_moves_contract import Opened, ReachMovesContract
from tests.contract.readers_contract import AGED, HOT_TTL, IDLE_AFTER, NEW

PAYLOADS = "SELECT payload FROM outbox ORDER BY id"


@asynccontextmanager
async def open_both(
    clock: FakeClock, *, databases: int = 1, near: timedelta = timedelta(0)
) -> AsyncIterator[tuple[FeedIndex, Readers]]:
    async with (
        database("svc_feed") as one,
        database("svc_feed") as two,
        open_shards([one, two][:databases]) as shards,
    ):
        audience = Audience(
            clock=clock, idle_after=IDLE_AFTER, near=near, most_near=100
        )
        yield (
            PostgresFeedIndex(
                shards=shards, audience=audience, read_seconds=5, clock=clock
            ),
            PostgresReaders(
                shards=shards,
                clock=clock,
                hot_ttl=HOT_TTL,
                idle_after=IDLE_AFTER,
                read_seconds=5,
            ),
        )


class TestPostgresAudience(FeedAudienceContract):
    """One database."""

    @asynccontextmanager
    async def open_both(
        self, clock: FakeClock
    ) -> AsyncIterator[tuple[FeedIndex, Readers]]:
        async with open_both(clock) as both:
            yield both


class TestShardedAudience(FeedAudienceContract):
    """Readers and their feeds spread over two databases."""

    @asynccontextmanager
    async def open_both(
        self, clock: FakeClock
    ) -> AsyncIterator[tuple[FeedIndex, Readers]]:
        async with open_both(clock, databases=2) as both:
            yield both


class TestPostgresReachMoves(ReachMovesContract):
    """A row, and the outbox beside it."""

    @asynccontextmanager
    async def open_moves(self) -> AsyncIterator[Opened]:
        async with open_outbox() as (pool, outbox):

            async def told() -> Sequence[tuple[int, int, int]]:
                rows = await pool.fetch(PAYLOADS)
                events = [ReachMigrationContinued.FromString(row[0]) for row in rows]
                return [
                    (one.user_id, one.reach_version, one.after_follower_id)
                    for one in events
                ]

            yield Opened(PostgresReachMoves(pool=pool, outbox=outbox), told)


@asynccontextmanager
async def open_outbox() -> AsyncIterator[tuple[Pool, Outbox]]:
    async with database("svc_feed") as settings, open_pool(settings) as pool:
        clock = SystemClock()
        ids = Ids(clock=clock, node=1)
        yield pool, Outbox(source="feed", ids=ids, clock=clock)


async def test_what_is_left_of_a_fan_out_is_an_event() -> None:
    """In the outbox, with where to go on."""
    async with open_outbox() as (pool, outbox):
        left = PostgresContinuations(pool=pool, outbox=outbox)
        await left.fan_out(Entry(PostId(5), UserId(7)), after=UserId(90))

        event = FanOutContinued.FromString(await pool.fetchval(PAYLOADS))
        assert (event.post_id, event.author_id, event.after_follower_id) == (5, 7, 90)


async def test_a_reader_is_taken_for_one_for_a_while() -> None:
    """Not asked about again within the time; somebody passed over always is."""
    clock = FakeClock()
    later = Entry(PostId(POST.post_id + 1), POST.author_id)
    last = Entry(PostId(POST.post_id + 2), POST.author_id)
    async with open_both(clock, near=timedelta(minutes=10)) as (index, readers):
        await index.add([AGED, NEW], POST)
        await readers.set_pulls(NEW, True)
        await readers.touch(AGED)
        await index.add([AGED, NEW], later)
        clock.advance(600)
        await index.add([AGED, NEW], last)

        assert await index.newest(NEW, limit=3) == [later, POST]
        assert await index.newest(AGED, limit=3) == [last, later]


async def test_the_standing_of_a_thousand_viewers_is_looked_up_by_index() -> None:
    """In a table of many readers, whatever the planner makes of unknown arrays."""
    async with database("svc_feed") as settings, open_pool(settings) as pool:
        await pool.execute(
            "INSERT INTO feed_reader (viewer_id, last_read_at)"
            " SELECT id * 1000, now() FROM generate_series(1, 50000) AS id"
        )
        await pool.execute("ANALYZE feed_reader")
        viewers = [number * 7_000 for number in range(1_000)]
        for mode in ("force_custom_plan", "force_generic_plan"):
            async with pool.transaction() as tx:
                await tx.execute(f"SET LOCAL plan_cache_mode = {mode}")
                plan = await tx.fetchval(
                    f"EXPLAIN (FORMAT JSON) {STANDING}", viewers, NOON
                )
            assert "Seq Scan" not in json.dumps(json.loads(plan)), mode
    assert floor_of(NOON) > viewers[-1]
