"""Indexes that lost posts behind everybody's back, on real engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx

from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.testing import eventually

from tests.support.feed import FeedRoom, feed_room

BEN = 102

LOSE = "DELETE FROM feed_entry WHERE viewer_id = $1 AND post_id = $2"
HELD = "SELECT count(*) FROM feed_entry WHERE viewer_id = $1"

# Posts are missed at once, and a feed that is read twice is built twice.
PROMPT = {
    "settle": timedelta(0),
    "repair_every": timedelta(0),
    "hot_ttl": timedelta(seconds=1),
}


@asynccontextmanager
async def losing(**settings: Any) -> AsyncIterator[tuple[FeedRoom, Pool, int, int]]:
    """A room, its database, a new reader, and a post that their index lost."""
    async with (
        feed_room(**settings) as room,
        open_pool(PostgresSettings(url=room.settings.database)) as database,
    ):
        reader = room.ids.next()
        await room.follow(reader, BEN)
        lost = await room.post(BEN)

        async def placed() -> None:
            assert await room.ids_of(reader) == [lost]
            assert await database.fetchval(HELD, reader) == 1

        await eventually(placed)
        await database.execute(LOSE, reader, lost)
        yield room, database, reader, lost


async def test_a_reader_who_misses_a_post_finds_it_when_they_read_again() -> None:
    """The hot feed runs out, the next one is built without the post, and the read
    that built it has the index looked after."""
    async with losing(**PROMPT, audit_sample=0) as (room, database, reader, lost):

        async def gone() -> None:
            assert await room.ids_of(reader) == []

        await eventually(gone)

        async def is_back() -> None:
            assert await room.ids_of(reader) == [lost]
            assert await database.fetchval(HELD, reader) == 1

        await eventually(is_back)


async def test_repairs_can_be_turned_off() -> None:
    """Then it is for the sampler."""
    async with losing(**PROMPT, audit_sample=0, repairs=0) as (room, database, *who):
        reader, lost = who

        async def gone() -> None:
            assert await room.ids_of(reader) == []

        await eventually(gone)
        for _ in range(5):
            assert lost not in await room.ids_of(reader)
        assert await database.fetchval(HELD, reader) == 0


async def test_the_sampler_mends_what_nobody_reads_and_tells_it() -> None:
    """As numbers for Prometheus."""
    async with losing(settle=timedelta(0), repairs=0, audit_sample=600) as (
        room,
        database,
        reader,
        _,
    ):

        async def is_back() -> None:
            assert await database.fetchval(HELD, reader) == 1

        async def is_told() -> None:
            async with httpx.AsyncClient() as client:
                url = f"http://127.0.0.1:{room.admin_port}/metrics"
                told = (await client.get(url)).text
            assert 'feedmesh_feed_drift_posts{kind="missing"} 1.0' in told
            assert 'feedmesh_feed_drift_posts{kind="extra"} 0.0' in told
            assert "feedmesh_feed_audited_readers_total" in told
            assert "feedmesh_fanout_lag_seconds_count 1.0" in told
            assert "feedmesh_fanout_write_amplification_sum 2.0" in told

        await eventually(is_back, timeout=30)
        await eventually(is_told)
