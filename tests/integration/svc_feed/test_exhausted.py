"""Feeds while svc_feed has no database connection left: from the hot copy alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter

import pytest

from feedmesh.feed.v1 import feed_pb2

from chassis.errors import MeshError
from chassis.postgres import PostgresSettings
from chassis.shards import Shards, open_shards
from chassis.testing import eventually

from svc_feed import wiring
from tests.support.feed import FeedRoom, feed_room

ANN, BEN = 101, 102
POOL = PostgresSettings(url="")
WINDOW = 100
PAGE = 100

FILL = """
INSERT INTO feed_entry (viewer_id, post_id, author_id)
SELECT $1, post_id, $2 FROM unnest($3::bigint[]) AS post_id
"""


@asynccontextmanager
async def with_its_shards(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[FeedRoom, Shards]]:
    """The room and the very pools that it uses."""
    opened: list[Shards] = []

    @asynccontextmanager
    async def open_and_keep(
        settings: Sequence[PostgresSettings],
    ) -> AsyncIterator[Shards]:
        async with open_shards(settings) as shards:
            opened.append(shards)
            yield shards

    monkeypatch.setattr(wiring, "open_shards", open_and_keep)
    async with feed_room(hot_window=WINDOW) as room:
        yield room, opened[0]


async def read(room: FeedRoom) -> feed_pb2.GetHomeFeedResponse:
    """A page that goes on where the hot feed ends."""
    return await room.page(ANN, size=PAGE)


def ids_on(page: feed_pb2.GetHomeFeedResponse) -> list[int]:
    return [item.post.post_id for item in page.items]


async def test_an_exhausted_pool_leaves_feeds_to_the_hot_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole pages, labelled, and nobody waits for a connection; it passes by itself."""
    async with with_its_shards(monkeypatch) as (room, shards):
        await room.follow(ANN, BEN)
        posts = sorted((room.store(BEN) for _ in range(WINDOW + 50)), reverse=True)
        pool = shards.pool(ANN)
        await pool.execute(FILL, ANN, BEN, posts)
        await eventually(lambda: served(room, feed_pb2.SERVED_FROM_INDEX, posts))

        async with AsyncExitStack() as held:
            for _ in range(POOL.max_size):
                tx = await held.enter_async_context(pool.transaction())
                await tx.execute("SELECT 1")
            began = perf_counter()
            while perf_counter() - began < POOL.exhausted_seconds + 1:
                page = await read(room)
                assert ids_on(page) == posts[:WINDOW]
                assert page.served_from == feed_pb2.SERVED_FROM_CACHE_ONLY
                assert page.next_page_token
                assert page.end_reason == feed_pb2.END_REASON_UNSPECIFIED

            began = perf_counter()
            for _ in range(20):
                await served(room, feed_pb2.SERVED_FROM_CACHE_ONLY, posts)
            each = (perf_counter() - began) / 20
            assert each < POOL.acquire_timeout / 2

            # Of two, one may be who tries for all.
            assert min([await refused(room), await refused(room)]) < 0.1
        await eventually(lambda: served(room, feed_pb2.SERVED_FROM_INDEX, posts))


async def refused(room: FeedRoom) -> float:
    """Seconds until a reader without a hot feed is told that there is nothing."""
    began = perf_counter()
    with pytest.raises(MeshError):
        await room.page(BEN)
    return perf_counter() - began


async def served(room: FeedRoom, served_from: int, posts: Sequence[int]) -> None:
    page = await read(room)
    assert ids_on(page) == posts[:WINDOW]
    assert page.served_from == served_from
