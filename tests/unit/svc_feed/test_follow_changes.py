"""What follows, unfollows, blocks and departures do to feeds."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from chassis.ids import time_of

from svc_feed.follow_changes import SURE
from svc_feed.model import BACKFILL_AGE, BACKFILL_POSTS, Followee, PostId, UserId
from tests.support.feed_writing import feed_of, follows
from tests.support.home_feeds import ANN, BEN, CAT, STAR, STRANGER, World, shown


def unfollow_time(world: World) -> datetime:
    """A moment after all posts so far."""
    return time_of(max(world.posts)) + timedelta(milliseconds=1)


async def test_a_follow_fills_in_a_day_of_posts() -> None:
    """At most 50, none older, also in a hot feed that was there."""
    world = World(hot_window=200)
    await world.post(BEN, is_fanned_out=False)
    world.clock.advance(BACKFILL_AGE.total_seconds() + 3600)
    world.skip_to_now()
    posts = [await world.post(BEN, is_fanned_out=False) for _ in range(60)]
    await world.page(ANN)
    world.skip_to_now()
    world.clock.advance(60)
    world.skip_to_now()
    world.follow(ANN, BEN)

    for _ in range(2):
        await follows(world).follow(ANN, BEN)

    assert await feed_of(world, ANN) == posts[::-1][:BACKFILL_POSTS]
    assert shown(await world.page(ANN, size=3)) == posts[::-1][:3]


async def test_posts_right_after_a_follow_are_filled_in_whatever_their_number() -> None:
    """Their fan-out may have read the followers before the follow was there."""
    world = World()
    await world.post(BEN, is_fanned_out=False)
    world.follow(ANN, BEN)
    posts = [await world.post(BEN, is_fanned_out=False) for _ in range(120)]

    await follows(world).follow(ANN, BEN)

    feed = await feed_of(world, ANN)
    assert set(posts) < set(feed)
    assert len(feed) == 121


async def test_a_late_event_of_a_follow_fills_in_what_the_follow_brought() -> None:
    """The day before the follow, not the day before the event."""
    world = World()
    before = await world.post(BEN, is_fanned_out=False)
    world.follow(ANN, BEN)
    world.clock.advance(2 * BACKFILL_AGE.total_seconds())
    world.skip_to_now()
    later = await world.post(BEN)

    await follows(world).follow(ANN, BEN)

    assert await feed_of(world, ANN) == [later, before]


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
        await follows(world).unfollow(ANN, BEN, at=unfollow_time(world))

    assert await feed_of(world, ANN) == [of_cat]
    assert await world.hot_feeds.look(ANN) is None


async def test_a_late_event_of_an_unfollow_leaves_a_refollow_whole() -> None:
    """All posts since the refollow, however many, and the day before it."""
    world = World()
    world.follow(ANN, BEN)
    old = [await world.post(BEN) for _ in range(BACKFILL_POSTS + 5)]
    at = unfollow_time(world)
    world.relate(ANN, BEN, STRANGER)
    await world.post(CAT)
    world.follow(ANN, BEN)
    new = [await world.post(BEN) for _ in range(BACKFILL_POSTS + 5)]
    world.clock.advance(2 * SURE.total_seconds())
    world.skip_to_now()
    new += [await world.post(BEN) for _ in range(BACKFILL_POSTS + 5)]

    for _ in range(2):
        await follows(world).unfollow(ANN, BEN, at=at)

    assert await feed_of(world, ANN) == (old[-BACKFILL_POSTS:] + new)[::-1]


async def test_a_refollow_during_the_removal_is_seen() -> None:
    """Whatever it placed meanwhile, and the removal took out, is placed again."""
    world = _Refollowing()
    world.follow(ANN, BEN)
    before = [await world.post(BEN) for _ in range(3)]
    at = unfollow_time(world)
    world.relate(ANN, BEN, STRANGER)

    await follows(world).unfollow(ANN, BEN, at=at)

    assert len(world.placed) > BACKFILL_POSTS
    assert await feed_of(world, ANN) == (before + world.placed)[::-1]


async def test_a_removal_that_comes_very_late_spares_what_was_placed_since() -> None:
    """A worker may stand still between its question and the removal."""
    world = _Refollowing(stands_still=2 * SURE)
    world.follow(ANN, BEN)
    await world.post(BEN)
    at = unfollow_time(world)
    world.relate(ANN, BEN, STRANGER)

    await follows(world).unfollow(ANN, BEN, at=at)

    assert set(world.placed) <= set(await feed_of(world, ANN))


async def test_a_block_takes_posts_out_both_ways() -> None:
    """Each one's posts from the other's feed."""
    world = World()
    world.follow(ANN, BEN)
    world.follow(BEN, ANN)
    of_ann, of_ben = await world.post(ANN), await world.post(BEN)
    world.relate(ANN, BEN, STRANGER)
    world.relate(BEN, ANN, STRANGER)

    await follows(world).block(ANN, BEN, at=unfollow_time(world))

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


@pytest.mark.parametrize("event", ["follow", "unfollow"])
async def test_who_follows_too_many_pulls(event: str) -> None:
    """From the follow on that crosses the limit; a hot feed of before is dropped."""
    world = World()
    for number in range(11):
        world.follow(ANN, UserId(BEN + 100 + number))
    await world.page(ANN)
    changes = follows(world, pull_all_above=10)

    if event == "follow":
        await changes.follow(ANN, UserId(BEN + 100))
    else:
        await changes.unfollow(ANN, UserId(BEN + 99), at=world.clock.now())

    assert (await world.readers.state(ANN)).pulls
    assert await world.hot_feeds.look(ANN) is None


async def test_who_pulls_is_pushed_again_well_below_the_limit() -> None:
    """Not right below it; and the next read fills in what was not placed."""
    world = World()
    await world.readers.set_pulls(ANN, True)
    changes = follows(world, pull_all_above=10)
    for number in range(9):
        world.follow(ANN, UserId(BEN + 100 + number))

    await changes.choose(ANN)
    assert (await world.readers.state(ANN)).pulls
    del world.edges[ANN, UserId(BEN + 100)]
    await changes.choose(ANN)

    state = await world.readers.state(ANN)
    assert not state.pulls
    assert not state.is_whole


class _Refollowing(World):
    """Between the first question for the edge and its answer's use, a refollow comes:
    with its own event handled, and with more posts than a follow brings."""

    def __init__(self, *, stands_still: timedelta = timedelta(0)) -> None:
        super().__init__()
        self.placed: list[PostId] = []
        self._stands_still = stands_still
        self._was_asked = False

    async def followee(self, viewer: UserId, author: UserId) -> Followee | None:
        found = await super().followee(viewer, author)
        if not self._was_asked:
            self._was_asked = True
            self.follow(viewer, author)
            if self._stands_still:
                self.clock.advance(self._stands_still.total_seconds())
                self.skip_to_now()
            self.placed = [await self.post(author) for _ in range(BACKFILL_POSTS + 10)]
            await follows(self).follow(viewer, author)
        return found
