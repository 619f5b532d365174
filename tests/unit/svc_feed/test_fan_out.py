"""What posts, follows, blocks and departures do to feeds."""

from __future__ import annotations

import pytest

from chassis.errors import Unavailable
from chassis.testing import refuses

from svc_feed.fan_out import BACKFILL_AGE, BACKFILL_POSTS, FeedFanOut, FollowChanges
from svc_feed.model import Entry, PostId, UserId
from tests.support.home_feeds import ANN, BEN, CAT, DAN, STAR, STRANGER, World, shown


def fan_out(world: World) -> FeedFanOut:
    return FeedFanOut(
        index=world.index, hot_feeds=world.hot_feeds, graph=world, in_flight=2
    )


def follows(world: World) -> FollowChanges:
    return FollowChanges(
        index=world.index,
        hot_feeds=world.hot_feeds,
        graph=world,
        records=world,
        clock=world.clock,
    )


def entry_of(world: World, post_id: PostId) -> Entry:
    return Entry(post_id, UserId(world.posts[post_id].author_id))


async def feed_of(world: World, viewer: UserId) -> list[PostId]:
    return [one.post_id for one in await world.index.newest(viewer, limit=1_000)]


async def test_a_post_is_placed_with_its_author_and_their_followers() -> None:
    """In the index and in the hot feeds that exist; a second time changes nothing."""
    world = World()
    for reader in (ANN, CAT, DAN):
        world.follow(reader, BEN)
    await world.page(ANN)
    post_id = await world.post(BEN, is_fanned_out=False)

    for _ in range(2):
        await fan_out(world).place(entry_of(world, post_id), for_author_alone=False)

    for reader in (ANN, BEN, CAT, DAN):
        assert await feed_of(world, reader) == [post_id]
    hot = await world.hot_feeds.look(ANN)
    assert hot is not None
    assert [one.post_id for one in hot.entries] == [post_id]
    assert await world.hot_feeds.look(CAT) is None


@pytest.mark.parametrize("why", ["private", "celebrity"])
async def test_some_posts_are_placed_with_their_author_alone(why: str) -> None:
    """Nobody else may see it, or everybody else pulls it."""
    world = World()
    world.follow(ANN, STAR)
    if why == "celebrity":
        world.celebrities.add(STAR)
    post_id = await world.post(STAR, is_fanned_out=False)

    await fan_out(world).place(
        entry_of(world, post_id), for_author_alone=why == "private"
    )

    assert await feed_of(world, STAR) == [post_id]
    assert await feed_of(world, ANN) == []


async def test_a_fan_out_that_fails_is_an_error_of_its_own_kind() -> None:
    """The bus holds events while a dependency is away; a group would hide that."""
    world = World()
    world.follow(ANN, BEN)
    post_id = await world.post(BEN, is_fanned_out=False)
    world.index.is_down = True

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await fan_out(world).place(entry_of(world, post_id), for_author_alone=False)


async def test_a_withdrawn_post_leaves_the_index() -> None:
    """Of the author and of those who follow them."""
    world = World()
    world.follow(ANN, BEN)
    first, second = await world.post(BEN), await world.post(BEN)

    for _ in range(2):
        await fan_out(world).withdraw(entry_of(world, first))

    assert await feed_of(world, ANN) == await feed_of(world, BEN) == [second]


async def test_a_follow_fills_in_a_day_of_posts() -> None:
    """At most 50, none older, also in a hot feed that was there."""
    world = World(hot_window=200)
    await world.post(BEN, is_fanned_out=False)
    world.clock.advance(BACKFILL_AGE.total_seconds() + 3600)
    world.skip_to_now()
    posts = [await world.post(BEN, is_fanned_out=False) for _ in range(60)]
    await world.page(ANN)
    world.follow(ANN, BEN)

    for _ in range(2):
        await follows(world).follow(ANN, BEN)

    assert await feed_of(world, ANN) == posts[::-1][:BACKFILL_POSTS]
    assert shown(await world.page(ANN, size=3)) == posts[::-1][:3]


async def test_a_follow_of_a_celebrity_fills_nothing_in() -> None:
    """Their posts are pulled."""
    world = World()
    world.celebrities.add(STAR)
    await world.post(STAR, is_fanned_out=False)
    world.follow(ANN, STAR)

    await follows(world).follow(ANN, STAR)

    assert await feed_of(world, ANN) == []


async def test_a_late_event_of_an_ended_follow_fills_nothing_in() -> None:
    """Events of one edge come in any order; the graph knows how it ended."""
    world = World()
    await world.post(BEN, is_fanned_out=False)

    await follows(world).follow(ANN, BEN)

    assert await feed_of(world, ANN) == []


async def test_an_unfollow_takes_the_posts_out() -> None:
    """Of that person only, and from the hot feed too."""
    world = World()
    world.follow(ANN, BEN)
    world.follow(ANN, CAT)
    of_cat = await world.post(CAT)
    await world.post(BEN)
    await world.page(ANN)
    world.relate(ANN, BEN, STRANGER)

    for _ in range(2):
        await follows(world).unfollow(ANN, BEN)

    assert await feed_of(world, ANN) == [of_cat]
    assert await world.hot_feeds.look(ANN) is None


async def test_a_late_event_of_an_unfollow_leaves_a_refollow_whole() -> None:
    """Rapid unfollow and refollow ends right."""
    world = World()
    world.follow(ANN, BEN)
    post_id = await world.post(BEN)

    await follows(world).unfollow(ANN, BEN)

    assert await feed_of(world, ANN) == [post_id]


async def test_a_block_takes_posts_out_both_ways() -> None:
    """Each one's posts from the other's feed."""
    world = World()
    world.follow(ANN, BEN)
    world.follow(BEN, ANN)
    of_ann, of_ben = await world.post(ANN), await world.post(BEN)
    world.relate(ANN, BEN, STRANGER)
    world.relate(BEN, ANN, STRANGER)

    await follows(world).block(ANN, BEN)

    assert await feed_of(world, ANN) == [of_ann]
    assert await feed_of(world, BEN) == [of_ben]


async def test_a_deleted_person_leaves_nothing() -> None:
    """Neither their feed nor their posts in others' feeds."""
    world = World()
    world.follow(ANN, BEN)
    world.follow(BEN, ANN)
    of_ann = await world.post(ANN)
    await world.post(BEN)

    for _ in range(2):
        await follows(world).erase(BEN)

    assert await feed_of(world, BEN) == []
    assert await feed_of(world, ANN) == [of_ann]
