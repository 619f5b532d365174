"""The end of a feed: complete, or where the archive begins, and never a false one."""

from __future__ import annotations

import pytest

from feedmesh.feed.v1 import feed_pb2

from svc_feed.archive import KEPT
from svc_feed.model import BACKFILL_AGE, Order, PostId, UserId
from tests.support.home_feeds import ANN, BEN, OLD, STAR, World, shown

A_DAY = 86_400

COMPLETE = feed_pb2.END_REASON_COMPLETE
ARCHIVE_EDGE = feed_pb2.END_REASON_ARCHIVE_EDGE


async def aged(*, posts: int = 3) -> tuple[World, list[PostId]]:
    """Old follows Ben, whose first posts are older than the edge by now."""
    world = World()
    await world.page(OLD)
    world.follow(OLD, BEN)
    found = await world.posts_of(BEN, posts)
    world.clock.advance(91 * A_DAY)
    world.skip_to_now()
    await world.hot_feeds.forget([OLD])
    return world, found


async def archived(world: World, author: UserId) -> None:
    """A post from before the edge, which stands in nobody's index."""
    world.clock.advance(-91 * A_DAY)
    world.skip_to_now()
    await world.post(author, is_fanned_out=False)
    world.clock.advance(91 * A_DAY)
    world.skip_to_now()


@pytest.mark.parametrize("order", list(Order))
async def test_a_feed_ends_at_the_edge_and_says_so(order: Order) -> None:
    """Though older posts stand in the index still."""
    world, _ = await aged()
    kept = await world.posts_of(BEN, 12)

    pages = [page async for page in world.pages(OLD, order=order, size=5)]

    assert sorted((one for page in pages for one in shown(page)), reverse=True) == kept
    assert [page.end_reason for page in pages] == [0, 0, ARCHIVE_EDGE]


async def test_posts_that_were_never_placed_lie_beyond_the_edge_too() -> None:
    """The owner is asked, not the index."""
    world, _ = await aged(posts=0)
    world.since_ms[OLD, BEN] = 0
    await archived(world, BEN)

    page = await world.page(OLD)

    assert not page.items
    assert page.end_reason == ARCHIVE_EDGE


async def test_without_older_posts_a_feed_is_complete() -> None:
    """Of whoever is followed; what they posted before the follow does not belong."""
    world = World()
    await world.posts_of(BEN, 3)
    world.clock.advance(95 * A_DAY)
    world.skip_to_now()
    world.follow(OLD, BEN)

    assert (await world.page(OLD)).end_reason == COMPLETE


async def test_posts_of_celebrities_end_at_the_edge_as_well() -> None:
    """One feed has one end."""
    world, _ = await aged(posts=0)
    world.celebrities.add(STAR)
    world.follow(OLD, STAR)
    world.since_ms[OLD, STAR] = 0
    await archived(world, STAR)
    kept = await world.post(STAR)

    page = await world.page(OLD)

    assert shown(page) == [kept]
    assert page.end_reason == ARCHIVE_EDGE


async def test_a_young_account_is_not_asked_about() -> None:
    """It can follow nobody for longer than the edge is away."""
    world = World()
    world.follow(ANN, BEN)
    await world.posts_of(BEN, 3)
    await world.warm_up(ANN)
    world.own[ANN] = []
    asked = dict(world.calls)

    assert (await world.page(ANN)).end_reason == COMPLETE
    assert world.calls == asked
    world.clock.advance(90 * A_DAY + BACKFILL_AGE.total_seconds() + 2 * A_DAY)
    assert (await world.page(ANN)).end_reason == ARCHIVE_EDGE


async def test_the_archive_is_asked_seldom() -> None:
    """An answer is good for some minutes."""
    world, _ = await aged()
    world.own[OLD] = []
    await world.page(OLD)
    world.clock.advance(10)
    await world.page(OLD)
    asked = world.calls["recents"]

    for _ in range(3):
        assert (await world.page(OLD)).end_reason == ARCHIVE_EDGE
    assert world.calls["recents"] == asked
    world.clock.advance(KEPT.total_seconds())
    await world.page(OLD)

    assert world.calls["recents"] == asked + 1


async def test_an_archive_that_cannot_be_asked_is_no_false_end() -> None:
    """A feed that is called complete has to be."""
    world, _ = await aged(posts=0)
    kept = await world.post(BEN)
    world.own[OLD] = []
    await world.page(OLD)
    world.clock.advance(KEPT.total_seconds())
    world.down.add("recents")

    page = await world.page(OLD)

    assert shown(page) == [kept]
    assert page.end_reason == ARCHIVE_EDGE
