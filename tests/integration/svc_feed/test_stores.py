"""The stores of svc_feed against real engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from chassis.clock import SystemClock
from chassis.errors import Unavailable
from chassis.shards import open_shards
from chassis.testing import database, valkey
from chassis.valkey import Valkey, open_valkey

from svc_feed.doubt import DoubtedHotFeeds, DoubtTeller
from svc_feed.hot import (
    GENERATION_KEY,
    HotTag,
    ValkeyHotFeeds,
    hot_key,
    unpacked,
)
from svc_feed.model import Entry, Hot, PostId, UserId
from svc_feed.ports import FeedIndex
from svc_feed.store import PostgresFeedIndex, PostgresGenerations
from svc_feed.store_audience import Audience
from tests.contract.feed_index_contract import FeedIndexContract
from tests.contract.hot_feeds_contract import (
    ANN,
    WINDOW,
    HotFeedsContract,
    Readable,
    built,
    entry,
)


class ReadableHotFeeds(ValkeyHotFeeds):
    """ValkeyHotFeeds that a test can look into."""

    def __init__(self, *, valkey: Valkey, tag: HotTag) -> None:
        super().__init__(
            valkey=valkey,
            bulk=valkey,
            tag=tag,
            window=WINDOW,
            ttl=timedelta(minutes=1),
        )
        self._client = valkey
        self._tags = tag

    async def look(self, viewer: UserId) -> Hot | None:
        raw, generation = await self._client.read([hot_key(viewer), GENERATION_KEY])
        return unpacked(raw, self._tags.hear(generation))


@asynccontextmanager
async def open_hot_feeds() -> AsyncIterator[tuple[Valkey, HotTag, ReadableHotFeeds]]:
    async with valkey() as settings, open_valkey(settings) as client:
        tag = HotTag(valkey=client, bulk=client)
        yield client, tag, ReadableHotFeeds(valkey=client, tag=tag)


class TestPostgresFeedIndex(FeedIndexContract):
    """One database."""

    databases = 1

    @asynccontextmanager
    async def open_index(self) -> AsyncIterator[FeedIndex]:
        async with database("svc_feed") as one, database("svc_feed") as two:
            settings = [one, two][: self.databases]
            async with open_shards(settings) as shards:
                clock = SystemClock()
                # The ids of these viewers are those of very old accounts.
                audience = Audience(
                    clock=clock,
                    idle_after=100 * 365 * timedelta(days=1),
                    near=timedelta(0),
                    most_near=0,
                )
                yield PostgresFeedIndex(
                    shards=shards, audience=audience, read_seconds=5, clock=clock
                )


class TestShardedFeedIndex(TestPostgresFeedIndex):
    """Feeds spread over two databases."""

    databases = 2


class TestValkeyHotFeeds(HotFeedsContract):
    """Packed strings and scripts."""

    @asynccontextmanager
    async def open_hot_feeds(self) -> AsyncIterator[Readable]:
        async with open_hot_feeds() as (_, _, hot):
            yield hot


async def test_a_hot_feed_of_500_takes_8_kilobytes() -> None:
    """16 bytes an entry and one head: a tenth of a sorted set."""
    async with open_hot_feeds() as (client, tag, _):
        hot = ValkeyHotFeeds(
            valkey=client, bulk=client, tag=tag, window=500, ttl=timedelta(minutes=1)
        )
        await built(hot, ANN, *range(500, 0, -1))
        raw = await client.get(hot_key(ANN))

    assert raw is not None
    assert len(raw) == 16 * 501


async def test_a_generation_that_is_not_believed_makes_feeds_missing() -> None:
    """They may lack what could not be appended; a new build is believed."""
    async with open_hot_feeds() as (_, tag, hot):
        await built(hot, ANN, 1)
        await tag.believe(2)
        assert await hot.look(ANN) is None

        await built(hot, ANN, 2, 1)
        assert await hot.look(ANN) == Hot([entry(2), entry(1)], PostId(0))
        await tag.believe(1)
        assert await hot.look(ANN) is not None


async def test_a_feed_of_another_life_of_valkey_is_missing() -> None:
    """A restored snapshot may lack what was appended since."""
    async with open_hot_feeds() as (client, _, hot):
        await built(hot, ANN, 1)
        raw = await client.get(hot_key(ANN))

        other = HotTag(valkey=client, bulk=client)
        other.hear(None)
        stale = bytes(byte ^ 1 for byte in other.hear(None))

    assert unpacked(raw, stale) is None


async def test_an_append_that_fails_makes_all_hot_feeds_doubtful() -> None:
    """Fan-out goes on without Valkey, and no feed claims to be whole afterwards."""
    async with (
        open_hot_feeds() as (_, tag, hot),
        database("svc_feed") as settings,
        open_shards(settings) as shards,
    ):
        generations = PostgresGenerations(shards=shards)
        doubted = DoubtedHotFeeds(hot_feeds=_Failing(), generations=generations)
        await built(hot, ANN, 1)
        await doubted.append([ANN], entry(2))
        await doubted.forget([ANN])
        assert await generations.current() == 2
        assert await hot.look(ANN) is not None

        await DoubtTeller(generations=generations, tags=tag).tell()

        assert await hot.look(ANN) is None


class _Failing:
    """Hot feeds in a Valkey that does not answer."""

    async def append(self, viewers: object, entry: Entry) -> None:
        raise Unavailable("DEPENDENCY_UNAVAILABLE")

    async def forget(self, viewers: object) -> None:
        raise Unavailable("DEPENDENCY_UNAVAILABLE")

    async def begin(self, viewer: UserId) -> str | None:
        raise Unavailable("DEPENDENCY_UNAVAILABLE")

    async def finish(
        self, viewer: UserId, build: str, hot: object, *, lasting: object = None
    ) -> None:
        raise Unavailable("DEPENDENCY_UNAVAILABLE")

    async def look(self, viewer: UserId) -> Hot | None:
        raise Unavailable("DEPENDENCY_UNAVAILABLE")
