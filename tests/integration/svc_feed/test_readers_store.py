"""The stores of what is noted of readers, against real engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from chassis.shards import open_shards
from chassis.testing import FakeClock, database, valkey
from chassis.valkey import open_valkey

from svc_feed.model import Order, PostId, UserId
from svc_feed.ports import Readers
from svc_feed.store_glances import ValkeyNotes, last_key, top_key
from svc_feed.store_readers import PostgresReaders
from tests.contract.readers_contract import HOT_TTL, IDLE_AFTER, ReadersContract

ANN, BEN = UserId(1), UserId(2)


class TestPostgresReaders(ReadersContract):
    """One database."""

    databases = 1

    @asynccontextmanager
    async def open_readers(self, clock: FakeClock) -> AsyncIterator[Readers]:
        async with (
            database("svc_feed") as one,
            database("svc_feed") as two,
            open_shards([one, two][: self.databases]) as shards,
        ):
            yield PostgresReaders(
                shards=shards,
                clock=clock,
                hot_ttl=HOT_TTL,
                idle_after=IDLE_AFTER,
                read_seconds=5,
            )


class TestShardedReaders(TestPostgresReaders):
    """Readers spread over two databases."""

    databases = 2


async def test_notes_are_written_together_and_the_last_one_stays() -> None:
    """Each under its own key, and for its own time."""
    async with valkey() as settings, open_valkey(settings) as client:
        notes = ValkeyNotes(valkey=client, last_kept=timedelta(seconds=5))
        notes.note_top(ANN, PostId(1))
        notes.note_top(ANN, PostId(2))
        notes.note_top(BEN, PostId(3))
        notes.note_last(ANN, Order.LATEST, b"page")
        await notes.write()

        kept = await client.read(
            [top_key(ANN), top_key(BEN), last_key(ANN, Order.LATEST)]
        )
        assert kept == [b"2", b"3", b"page"]
        assert await client.get(last_key(ANN, Order.RANKED)) is None
