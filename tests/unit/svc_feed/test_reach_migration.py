"""What happens to feeds when an author ceases to be pulled."""

from __future__ import annotations

from datetime import datetime

import pytest

from chassis.errors import Unavailable
from chassis.ids import time_of
from chassis.testing import refuses

from svc_feed.model import PostId, UserId
from svc_feed.reach_migration import LATE
from tests.support.feed_writing import MemoryReachMoves, feed_of, migration
from tests.support.home_feeds import ANN, STAR, World, shown

READERS = [UserId(ANN + 100 + number) for number in range(3)]


class Pulled(World):
    """Three readers follow a star; the followers come one a page."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = MemoryReachMoves()
        self.celebrities.add(STAR)
        self.completed: list[int] = []
        for reader in READERS:
            self.follow(reader, STAR)

    async def complete_reach_change(self, author: UserId, version: int) -> bool:
        self.completed.append(version)
        return await super().complete_reach_change(author, version)

    async def pushed(self, version: int, *, since: datetime | None = None) -> None:
        """The event that readers are to pull no more."""
        work = migration(self, self.moves)
        await work.pushed(STAR, version, pulled_since=since or self.clock.now())

    async def go_on(self) -> None:
        """The event of the next part."""
        author, version, after = self.moves.left[-1]
        await migration(self, self.moves).go_on(author, version, after=after)


async def test_what_was_pulled_is_placed_with_all_followers() -> None:
    """A page of them at a time; then svc_graph is told that nobody need pull."""
    world = Pulled()
    posts = [await world.post(STAR) for _ in range(120)][::-1]
    await world.page(READERS[0])

    await world.pushed(5)
    assert [len(await feed_of(world, one)) for one in READERS] == [120, 0, 0]
    assert await world.hot_feeds.look(READERS[0]) is None
    for _ in READERS:
        assert not world.completed
        await world.go_on()

    assert [await feed_of(world, one) for one in READERS] == [posts] * 3
    assert world.completed == [5]
    assert shown(await world.page(READERS[2], size=50)) == posts[:50]


async def test_posts_from_before_are_left_alone() -> None:
    """They were fanned out; but for those of a day, whose fan-out may have been
    behind."""
    world = Pulled()
    await world.post(STAR)
    world.clock.advance(2 * LATE.total_seconds())
    world.skip_to_now()
    late = await world.post(STAR)
    world.clock.advance(60)
    since = world.clock.now()
    world.skip_to_now()
    pulled = await world.post(STAR)

    await world.pushed(5, since=since)

    assert await feed_of(world, READERS[0]) == [pulled, late]


async def test_a_repeated_event_goes_on_where_the_work_is() -> None:
    """Neither the first nor any later part is done again."""
    world = Pulled()
    post_id = await world.post(STAR)
    await world.pushed(5)
    await world.go_on()
    await world.index.remove(READERS[0], [post_id])
    await world.index.remove(READERS[1], [post_id])

    await world.pushed(5)
    author, version, after = world.moves.left[0]
    await migration(world, world.moves).go_on(author, version, after=after)

    assert [await feed_of(world, one) for one in READERS] == [[], [], []]
    assert len(world.moves.left) == 2


async def test_the_work_ends_when_readers_pull_again() -> None:
    """A newer change is known: nothing more is placed, and nothing said complete."""
    world = Pulled()
    await world.post(STAR)
    await world.pushed(5)
    await migration(world, world.moves).pulled(STAR, 6)

    await world.go_on()
    await world.pushed(5)

    assert await feed_of(world, READERS[1]) == []
    assert world.completed == []
    assert world.moves.moves[STAR].version == 6


async def test_an_author_without_followers_is_complete_at_once() -> None:
    """There is nobody to place anything with."""
    world = Pulled()
    world.edges.clear()
    await world.post(STAR)

    await world.pushed(5)

    assert world.completed == [5]


@pytest.mark.parametrize("peer", ["graph", "recents"])
async def test_what_fails_is_done_again_by_the_same_event(peer: str) -> None:
    """Nothing counts as placed that is not."""
    world = Pulled()
    post_id = await world.post(STAR)
    world.down.add(peer)
    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await world.pushed(5)
    world.down.clear()

    await world.pushed(5)

    assert await feed_of(world, READERS[0]) == [post_id]


async def test_idle_readers_are_passed_over_here_too() -> None:
    """They are rebuilt when they come back."""
    world = Pulled()
    idle = UserId(6)
    world.follow(idle, STAR)
    post_id = await world.post(STAR)
    await world.pushed(5)
    await world.go_on()

    assert await feed_of(world, idle) == []
    assert await feed_of(world, READERS[0]) == [post_id]
    assert time_of(PostId(post_id)) > time_of(idle)
