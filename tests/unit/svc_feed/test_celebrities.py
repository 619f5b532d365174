"""Posts that are pulled: one load for all readers, and nobody waits for it."""

from __future__ import annotations

import asyncio

import pytest

from feedmesh.feed.v1 import feed_pb2

from chassis.testing import eventually

from svc_feed.cached import HOLD
from svc_feed.model import Changes, PostId, UserId
from tests.support.home_feeds import ANN, BEN, STAR, World, shown

READERS = [UserId(STAR + 10 + number) for number in range(50)]


async def starry() -> World:
    """Fifty readers follow a celebrity, and nothing else of them is asked for."""
    world = World()
    world.celebrities.add(STAR)
    for reader in READERS:
        world.follow(reader, STAR)
        world.own[reader] = []
    await world.post(STAR)
    return world


async def test_readers_who_refresh_cost_one_load_in_30_seconds() -> None:
    """However many there are, over minutes."""
    world = await starry()
    await world.page(READERS[0])
    began = world.calls["recents"]

    for _ in range(240):
        await asyncio.gather(*(world.page(reader) for reader in READERS[:10]))
        world.clock.advance(0.5)

    assert world.calls["recents"] - began <= 120 / 30


async def test_a_celebritys_post_is_with_everybody_within_30_seconds() -> None:
    """Of those who ask often enough to keep the list near."""
    world = await starry()
    await world.page(ANN)
    post_id: PostId | None = None
    age = 0

    for second in range(80):
        # As tasks of their own, so that loads in the background go on.
        (page,) = await asyncio.gather(world.page(READERS[0]))
        if post_id in shown(page):
            break
        if second == 11:
            post_id = await world.post(STAR)
        world.clock.advance(1)
        age += post_id is not None

    assert age <= 31


async def test_an_old_list_serves_on_while_one_load_replaces_it() -> None:
    """For a moment: nobody waits for svc_ingest, and all who come share the load."""
    world = await starry()
    await world.page(READERS[0])
    before = shown(await world.page(READERS[0]))
    newer = await world.post(STAR)
    world.clock.advance(30.1)
    began = world.calls["recents"]

    pages = await asyncio.gather(*(world.page(reader) for reader in READERS))

    assert world.calls["recents"] == began + 1
    assert before in [shown(page) for page in pages]

    async def all_see_it() -> None:
        for reader in READERS:
            assert newer in shown(await world.page(reader))

    await eventually(all_see_it)
    assert world.calls["recents"] == began + 1


async def test_a_list_that_nobody_asked_for_is_not_served_late() -> None:
    """Once the moment is over, who comes waits for the load."""
    world = await starry()
    await world.page(READERS[0])
    newer = await world.post(STAR)
    world.clock.advance(35)

    assert newer in shown(await world.page(READERS[1]))


async def test_lists_outlive_svc_ingest() -> None:
    """Late, but not wrong; and it is not asked by every page."""
    world = await starry()
    known = shown(await world.page(READERS[0]))
    world.clock.advance(HOLD + 1)
    await world.page(READERS[0])
    world.down.add("recents")
    world.clock.advance(29)
    began = world.calls["recents"]

    for _ in range(20):
        world.clock.advance(0.5)
        (page,) = await asyncio.gather(world.page(READERS[0]))
        assert shown(page) == known

    assert world.calls["recents"] - began <= 6
    world.down.clear()
    newer = await world.post(STAR)
    world.clock.advance(5)

    async def back() -> None:
        assert newer in shown(await world.page(READERS[0]))

    await eventually(back)


@pytest.mark.parametrize("enters", [True, False])
async def test_a_crossing_author_is_noticed_at_once(enters: bool) -> None:
    """Whom a reader pulls is asked anew once it is marked as changed, and not kept
    until the change is surely committed."""
    world = World()
    world.follow(ANN, BEN)
    if not enters:
        world.celebrities.add(BEN)
    await world.warm_up(ANN)
    world.changes = Changes(celebrities=[BEN])
    await world.page(ANN)
    world.clock.advance(1)
    await world.page(ANN)
    world.celebrities ^= {BEN}
    post_id: PostId = await world.post(BEN)

    assert shown(await world.page(ANN)) == [post_id]


async def test_unknown_celebrities_are_withheld() -> None:
    """Other posts are shown; that some may be missing, the page says."""
    world = World()
    world.follow(ANN, BEN)
    post_id = await world.post(BEN)
    await world.warm_up(ANN)
    world.changes = Changes(celebrities=[STAR])
    world.down.add("graph")

    page = await world.page(ANN)

    assert shown(page) == [post_id]
    assert page.end_reason == feed_pb2.END_REASON_WITHHELD
    assert not page.next_page_token


async def test_a_caller_who_saw_more_is_told_anew_whom_they_pull() -> None:
    """A graph version above the mark means ask, for celebrities as for relations."""
    world = World()
    world.follow(ANN, STAR)
    await world.warm_up(ANN)
    world.celebrities.add(STAR)
    post_id = await world.post(STAR)
    assert shown(await world.page(ANN)) == []

    page = await world.page(ANN, at_least=world.marks[ANN] + 1)

    assert shown(page) == [post_id]
