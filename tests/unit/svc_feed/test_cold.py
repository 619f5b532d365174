"""Feeds of readers who were away, or who follow too many: pulled, rebuilt, whole."""

from __future__ import annotations

import pytest

from feedmesh.feed.v1 import feed_pb2

from chassis.errors import Unavailable
from chassis.testing import refuses

from svc_feed.cold import NOTED_SECONDS
from svc_feed.model import Order, PostId, UserId
from tests.support.home_feeds import ANN, BEN, CAT, OLD, PULLED, World, shown

A_MONTH = 31 * 86_400


async def absent(posts: int, *, hot_window: int = 20) -> tuple[World, list[PostId]]:
    """Old follows Ben and has never read; what Ben posted is not placed with them."""
    world = World(hot_window=hot_window)
    world.follow(OLD, BEN)
    found = await world.posts_of(BEN, posts)
    assert await world.index.newest(OLD, limit=1) == []
    return world, found


async def placed(world: World, reader: UserId) -> list[PostId]:
    return [one.post_id for one in await world.index.newest(reader, limit=10_000)]


async def test_who_comes_back_finds_a_full_page() -> None:
    """Rebuilt in the same request, and said so; from then on it is an ordinary feed."""
    world, posts = await absent(15)

    first = await world.page(OLD, size=10)
    later = await world.post(BEN)
    second = await world.page(OLD, size=10)

    assert shown(first) == posts[:10]
    assert first.served_from == feed_pb2.SERVED_FROM_REBUILT
    assert shown(second) == [later, *posts[:9]]
    assert second.served_from == feed_pb2.SERVED_FROM_HOT
    assert (await world.readers.state(OLD)).is_whole
    assert await placed(world, OLD) == [later, *posts]


async def test_what_the_first_stretch_lacks_is_pulled_until_it_is_placed() -> None:
    """Pages go on below it at once, and from the index when the rest is done."""
    world, posts = await absent(70)

    first = await world.page(OLD, size=20)
    assert not (await world.readers.state(OLD)).is_whole
    second = await world.page(OLD, size=20, token=first.next_page_token)
    await world.rebuild.complete_next()
    third = await world.page(OLD, size=40, token=second.next_page_token)

    assert shown(first) + shown(second) + shown(third) == posts
    assert second.served_from == feed_pb2.SERVED_FROM_REBUILT
    assert third.served_from == feed_pb2.SERVED_FROM_INDEX
    assert (await world.readers.state(OLD)).is_whole
    assert await placed(world, OLD) == posts


@pytest.mark.parametrize("order", list(Order))
async def test_a_session_joins_over_a_rebuild(order: Order) -> None:
    """No repeat and no gap, whenever the rest is done."""
    world, posts = await absent(60)

    seen: list[PostId] = []
    async for page in world.pages(OLD, order=order, size=7):
        seen += shown(page)
        if len(seen) == 21:
            await world.rebuild.complete_next()

    assert sorted(seen, reverse=True) == posts


async def test_a_rebuild_that_fails_is_done_again_by_the_next_read() -> None:
    """The index is not taken for whole, and the hot feed is built anew."""
    world, posts = await absent(70)
    await world.page(OLD, size=20)
    world.down.add("recents")
    await world.rebuild.complete_next()
    world.down.clear()

    assert not (await world.readers.state(OLD)).is_whole
    page = await world.page(OLD, size=20)
    assert page.served_from == feed_pb2.SERVED_FROM_REBUILT
    await world.rebuild.complete_next()
    assert await placed(world, OLD) == posts


async def test_without_posts_nobody_who_comes_back_sees_an_empty_page() -> None:
    """An error, and the index is left to the background."""
    world, posts = await absent(5)
    world.down.add("recents")

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await world.page(OLD)

    world.down.clear()
    await world.rebuild.complete_next()
    assert await placed(world, OLD) == posts


async def test_reading_within_the_month_keeps_a_reader() -> None:
    """Posts go on being placed, and the index is never rebuilt."""
    world = World()
    world.follow(ANN, BEN)
    for _ in range(3):
        await world.page(ANN)
        world.clock.advance(20 * 86_400)
        world.skip_to_now()
        await world.hot_feeds.forget([ANN])
        await world.post(BEN)

    page = await world.page(ANN)

    assert page.served_from == feed_pb2.SERVED_FROM_INDEX
    assert len(await placed(world, ANN)) == 3


async def test_who_stays_away_is_passed_over_and_misses_nothing() -> None:
    """What was placed before and what was not are one feed."""
    world = World()
    world.follow(ANN, BEN)
    before = await world.posts_of(BEN, 3)
    await world.page(ANN)
    world.clock.advance(A_MONTH)
    world.skip_to_now()
    await world.hot_feeds.forget([ANN])
    after = await world.posts_of(BEN, 3)
    assert await placed(world, ANN) == before

    page = await world.page(ANN)

    assert shown(page) == after + before
    assert page.served_from == feed_pb2.SERVED_FROM_REBUILT


async def test_hot_pages_ask_nothing_about_their_reader() -> None:
    """That a reader reads is noted where the hot feed is built, and only there."""
    world = World()
    world.follow(ANN, BEN)
    await world.posts_of(BEN, 10)
    await world.page(ANN)
    assert (world.readers.touches, world.readers.asked) == (1, 0)

    for order in Order:
        await world.page(ANN, order=order)

    assert (world.readers.touches, world.readers.asked) == (1, 0)
    assert world.noticed == [ANN]


async def test_without_valkey_reading_is_noted_once_an_hour() -> None:
    """Else every page would write."""
    world = World()
    world.follow(ANN, BEN)
    posts = await world.posts_of(BEN, 3)
    world.hot_feeds.is_down = True

    for _ in range(3):
        assert shown(await world.page(ANN)) == posts
    assert world.readers.touches == 1
    world.clock.advance(NOTED_SECONDS + 1)
    await world.page(ANN)

    assert world.readers.touches == 2


async def test_without_valkey_who_comes_back_is_rebuilt_once() -> None:
    """The next page finds a whole index."""
    world, posts = await absent(5)
    world.hot_feeds.is_down = True

    pages = [await world.page(OLD) for _ in range(2)]

    assert [shown(page) for page in pages] == [posts, posts]
    assert [page.served_from for page in pages] == [
        feed_pb2.SERVED_FROM_REBUILT,
        feed_pb2.SERVED_FROM_INDEX,
    ]


async def test_who_follows_too_many_pulls() -> None:
    """Nothing is placed; what is pulled is hot for some seconds."""
    world = World()
    world.follow(ANN, BEN)
    await world.readers.set_pulls(ANN, True)
    posts = await world.posts_of(BEN, 5)
    world.own[ANN] = []

    first = await world.page(ANN)
    asked = world.calls["recents"]
    second = await world.page(ANN)

    assert shown(first) == shown(second) == posts
    assert first.served_from == feed_pb2.SERVED_FROM_REBUILT
    assert second.served_from == feed_pb2.SERVED_FROM_HOT
    assert world.calls["recents"] == asked
    assert world.hot_feeds.lasting(ANN) == PULLED
    assert await placed(world, ANN) == []


@pytest.mark.parametrize("order", list(Order))
async def test_pages_of_who_pulls_join_below_the_window(order: Order) -> None:
    """Deeper than what is hot they are pulled page by page."""
    world = World(hot_window=15)
    for author in (BEN, CAT):
        world.follow(ANN, author)
    await world.readers.set_pulls(ANN, True)
    posts = [await world.post(BEN if n % 3 else CAT) for n in range(60)]

    assert sorted(await world.all_ids(ANN, order=order, size=9)) == posts


async def test_posts_of_celebrities_are_merged_for_who_pulls() -> None:
    """And shown once, though they are pulled twice."""
    world = World()
    world.celebrities.add(CAT)
    for author in (BEN, CAT):
        world.follow(ANN, author)
    await world.readers.set_pulls(ANN, True)
    posts = [await world.post(BEN if n % 2 else CAT) for n in range(8)]

    page = await world.page(ANN)

    assert shown(page) == posts[::-1]
    assert {item.reason for item in page.items} == {
        feed_pb2.REASON_FOLLOWED,
        feed_pb2.REASON_CELEBRITY,
    }


async def test_who_ceases_to_pull_is_rebuilt() -> None:
    """Not whole first, then placed: nothing is missed in between."""
    world = World()
    world.follow(ANN, BEN)
    await world.readers.set_pulls(ANN, True)
    posts = await world.posts_of(BEN, 5)
    await world.readers.set_whole(ANN, False)
    await world.readers.set_pulls(ANN, False)
    posts.insert(0, await world.post(BEN))

    assert shown(await world.page(ANN)) == posts
    assert await placed(world, ANN) == posts
    assert (await world.readers.state(ANN)).is_whole
