"""Indexes compared with graph and posts, by hand, by sampling and by reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from chassis.errors import Unavailable
from chassis.testing import refuses

from domain.visibility import Visibility
from svc_feed.model import Audited, PostId, Record, UserId
from svc_feed.repair import FeedRepair
from svc_feed.sampling import FeedSampler
from tests.support.feed_writing import (
    SETTLE,
    Watched,
    audit,
    entry_of,
    feed_of,
    follows,
)
from tests.support.home_feeds import ANN, BEN, CAT, OLD, STAR, STRANGER, World, shown


def ids_of(found: Audited) -> tuple[list[PostId], list[PostId]]:
    return [e.post_id for e in found.missing], [e.post_id for e in found.extra]


def following() -> World:
    """Ann follows Ben and Cat."""
    world = World()
    world.follow(ANN, BEN)
    world.follow(ANN, CAT)
    return world


def settled(world: World) -> None:
    world.clock.advance(2 * SETTLE.total_seconds())


async def test_a_sound_index_has_no_drift() -> None:
    """Posts of others, one's own, and those from before a follow."""
    world = World()
    await world.post(BEN)
    world.follow(ANN, BEN)
    await follows(world).follow(ANN, BEN)
    await world.post(BEN)
    await world.post(ANN)
    settled(world)

    found = await audit(world).audit(ANN)

    assert ids_of(found) == ([], [])
    assert (found.checked, found.is_partial) == (3, False)


async def test_missing_and_extra_posts_are_told_and_repaired() -> None:
    """Lost ones are placed, those of strangers and deleted ones go."""
    world = following()
    posts = [await world.post(BEN) for _ in range(4)]
    of_cat = [await world.post(CAT) for _ in range(2)]
    world.relate(ANN, CAT, STRANGER)
    await world.index.remove(ANN, posts[1:3])
    del world.posts[posts[3]]
    await world.page(ANN)
    settled(world)

    found = await audit(world).audit(ANN)
    repaired = await audit(world).repair(ANN, found)

    assert ids_of(found) == (posts[2:0:-1], [*of_cat[::-1], posts[3]])
    assert repaired.is_repaired
    assert await feed_of(world, ANN) == posts[2::-1]
    assert await world.hot_feeds.look(ANN) is None
    assert ids_of(await audit(world).audit(ANN)) == ([], [])


async def test_what_came_in_just_now_is_nobodys_fault() -> None:
    """Neither missing nor extra, until it has settled."""
    world = following()
    late = await world.post(BEN, is_fanned_out=False)

    assert ids_of(await audit(world).audit(ANN)) == ([], [])
    settled(world)
    assert ids_of(await audit(world).audit(ANN)) == ([late], [])


async def test_what_need_not_be_there_is_not_missed() -> None:
    """Private posts, those of celebrities, and what a follow did not bring along."""
    world = World()
    await world.post(BEN, is_fanned_out=False)
    world.celebrities.add(STAR)
    world.follow(ANN, BEN)
    world.follow(ANN, STAR)
    await world.post(BEN, is_fanned_out=False, visibility=Visibility.PRIVATE)
    await world.post(STAR)
    settled(world)

    assert ids_of(await audit(world).audit(ANN)) == ([], [])


async def test_what_is_older_than_its_follow_does_no_harm() -> None:
    """It may be from a follow of before."""
    world = World()
    old = await world.post(BEN)
    world.clock.advance(timedelta(days=3).total_seconds())
    world.skip_to_now()
    world.follow(ANN, BEN)
    await world.index.fill(ANN, [entry_of(world, old)])
    settled(world)

    assert ids_of(await audit(world).audit(ANN)) == ([], [])


@pytest.mark.parametrize("why", ["pulls", "not whole", "idle"])
async def test_who_has_no_index_has_no_drift(why: str) -> None:
    """Nothing is placed for them, or all is made anew."""
    world = World()
    reader = OLD if why == "idle" else ANN
    world.follow(reader, BEN)
    await world.post(BEN, is_fanned_out=False)
    if why == "pulls":
        await world.readers.set_pulls(ANN, True)
    if why == "not whole":
        await world.readers.set_whole(ANN, False)
    settled(world)

    assert await audit(world).audit(reader) == Audited()


async def test_a_refollow_during_a_repair_loses_nothing() -> None:
    """What was extra belongs there again by then."""
    world = following()
    of_cat = await world.post(CAT)
    world.relate(ANN, CAT, STRANGER)
    settled(world)
    found = await audit(world).audit(ANN)
    world.follow(ANN, CAT)

    await audit(world).repair(ANN, found)

    assert await feed_of(world, ANN) == [of_cat]


@pytest.mark.parametrize("peer", ["graph", "recents"])
async def test_an_audit_needs_everybody(peer: str) -> None:
    """Half of one would take posts out that belong there."""
    world = following()
    world.down.add(peer)

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await audit(world).audit(ANN)


# The sampler


def sampler(world: World, watch: Watched, *, repairs: bool = True) -> FeedSampler:
    return FeedSampler(
        audit=audit(world),
        readers=world.readers,
        watch=watch,
        clock=world.clock,
        per_minute=1,
        repairs=repairs,
    )


@pytest.mark.parametrize("repairs", [True, False])
async def test_the_sampler_tells_drift_and_repairs_it(repairs: bool) -> None:
    """If it is told to."""
    world = following()
    watch = Watched()
    await world.readers.touch(ANN)
    lost = await world.post(BEN, is_fanned_out=False)
    settled(world)

    found = await sampler(world, watch, repairs=repairs).sample(again_after=0)

    assert found is not None
    assert ids_of(found) == ([lost], [])
    assert watch.audits == [found]
    assert found.is_repaired is repairs
    assert await feed_of(world, ANN) == [lost] * repairs


async def test_what_is_on_its_way_is_no_drift() -> None:
    """The sampler looks twice."""
    world = _Arriving()
    world.follow(ANN, BEN)
    watch = Watched()
    await world.readers.touch(ANN)
    world.late = await world.post(BEN, is_fanned_out=False)
    settled(world)

    found = await sampler(world, watch).sample(again_after=0)

    assert found is not None
    assert not found.drift
    assert await feed_of(world, ANN) == [world.late]


async def test_the_sampler_waits_for_what_does_not_answer() -> None:
    """It tells nothing, and goes on; without readers there is nothing to tell."""
    world = following()
    watch = Watched()
    assert await sampler(world, watch).sample() is None
    await world.readers.touch(ANN)
    world.down.add("graph")

    assert await sampler(world, watch).sample() is None
    assert watch.audits == []


# Read repair


def repair(world: World, watch: Watched, *, at_once: int = 1) -> FeedRepair:
    return FeedRepair(
        audit=audit(world),
        hot_feeds=world.hot_feeds,
        follows=follows(world),
        watch=watch,
        clock=world.clock,
        at_once=at_once,
        every=timedelta(minutes=1),
    )


async def test_a_reader_who_missed_a_post_finds_it_next_time() -> None:
    """In the index, and in a hot feed that lacked it."""
    world = following()
    watch = Watched()
    seen, lost = await world.post(BEN), await world.post(CAT, is_fanned_out=False)
    settled(world)
    assert shown(await world.page(ANN)) == [seen]

    await repair(world, watch).look_after(ANN)

    assert shown(await world.page(ANN)) == [lost, seen]
    assert watch.repairs == [1]


async def test_a_hot_feed_that_lacks_what_the_index_holds_is_made_anew() -> None:
    """Whatever became of the append."""
    world = following()
    watch = Watched()
    await world.page(ANN)
    lost = await world.post(BEN, is_fanned_out=False)
    await world.index.fill(ANN, [entry_of(world, lost)])
    settled(world)
    assert shown(await world.page(ANN)) == []

    await repair(world, watch).look_after(ANN)

    assert shown(await world.page(ANN)) == [lost]


async def test_a_sound_feed_is_left_alone() -> None:
    """The hot feed stays."""
    world = following()
    watch = Watched()
    await world.post(BEN)
    await world.page(ANN)
    settled(world)

    await repair(world, watch).look_after(ANN)

    assert await world.hot_feeds.look(ANN) is not None
    assert watch.repairs == []


async def test_who_follows_too_many_pulls_however_the_follows_came() -> None:
    """Bulk imports publish no single follows."""
    world = World()
    for number in range(2_001):
        world.follow(ANN, UserId(BEN + 1_000 + number))

    await repair(world, Watched()).look_after(ANN)

    assert (await world.readers.state(ANN)).pulls


async def test_each_reader_is_looked_after_seldom_and_few_wait() -> None:
    """What there is no room for is left to the next read; nothing is raised."""
    world = World()
    repairs = repair(world, Watched())
    for _ in range(2):
        for number in range(150):
            repairs.notice(UserId(number + 1))
    assert repairs.waiting == 100
    off = repair(world, Watched(), at_once=0)
    off.notice(ANN)

    assert off.waiting == 0


async def test_a_repair_that_fails_is_left_to_the_next_read() -> None:
    """It raises nothing."""
    world = following()
    watch = Watched()
    world.down.add("graph")

    await repair(world, watch).look_after(ANN)

    assert watch.repairs == []


class _Arriving(World):
    """A post arrives at the feed while it is audited."""

    late = PostId(0)

    async def records(
        self, ids: Sequence[PostId], *, viewer: UserId
    ) -> Mapping[PostId, Record]:
        found = await super().records(ids, viewer=viewer)
        await self.index.fill(ANN, [entry_of(self, self.late)])
        return found
