"""What posts, and their deletion, do to feeds."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from chassis.errors import Unavailable
from chassis.testing import refuses

from svc_feed.model import Placed, UserId
from tests.support.feed_writing import (
    MemoryContinuations,
    Watched,
    entry_of,
    fan_out,
    feed_of,
)
from tests.support.home_feeds import (
    ANN,
    BEN,
    CAT,
    DAN,
    FOLLOWING,
    MUTING,
    OLD,
    STAR,
    World,
    shown,
)


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


async def test_idle_and_pulling_readers_are_passed_over() -> None:
    """Never the author, however long they did not read; what was done is told."""
    world = World()
    watch = Watched()
    for reader in (ANN, CAT):
        world.follow(reader, OLD)
    await world.readers.set_pulls(CAT, True)
    post_id = await world.post(OLD, is_fanned_out=False)

    await fan_out(world, watch=watch).place(
        entry_of(world, post_id), for_author_alone=False
    )

    assert await feed_of(world, ANN) == await feed_of(world, OLD) == [post_id]
    assert await feed_of(world, CAT) == []
    assert watch.parts == [Placed(rows=2, passed_over=1, is_last=True)]


async def test_a_muted_author_is_fanned_out_all_the_same() -> None:
    """Mute hides at read only, so that unmute shows all."""
    world = World()
    world.relate(ANN, BEN, MUTING)
    post_id = await world.post(BEN, is_fanned_out=False)
    await fan_out(world).place(entry_of(world, post_id), for_author_alone=False)
    assert shown(await world.page(ANN)) == []

    world.relate(ANN, BEN, FOLLOWING)

    assert shown(await world.page(ANN)) == [post_id]


async def test_a_large_audience_is_served_in_parts() -> None:
    """Each part leaves the next to the outbox, until nobody is left."""
    world = World()
    left = MemoryContinuations()
    watch = Watched()
    readers = [UserId(ANN + 100 + number) for number in range(5)]
    for reader in readers:
        world.follow(reader, BEN)
    entry = entry_of(world, await world.post(BEN, is_fanned_out=False))
    placing = fan_out(world, continuations=left, watch=watch, part=2)

    await placing.place(entry, for_author_alone=False)

    assert left.left == [(entry, readers[1])]
    assert await feed_of(world, readers[1]) == await feed_of(world, BEN)
    assert await feed_of(world, readers[2]) == []
    await placing.go_on(entry, after=readers[1])
    await placing.go_on(entry, after=readers[3])
    assert left.left == [(entry, readers[1]), (entry, readers[3])]
    assert [await feed_of(world, one) for one in readers] == [[entry.post_id]] * 5
    assert [part.is_last for part in watch.parts] == [False, False, True]
    assert [part.rows for part in watch.parts] == [3, 2, 1]


async def test_a_part_that_is_repeated_places_nothing_twice() -> None:
    """It serves its own followers again, and not those before."""
    world = World()
    left = MemoryContinuations()
    watch = Watched()
    readers = [UserId(ANN + 100 + number) for number in range(4)]
    for reader in readers:
        world.follow(reader, BEN)
    entry = entry_of(world, await world.post(BEN, is_fanned_out=False))
    placing = fan_out(world, continuations=left, watch=watch, part=2)

    for _ in range(2):
        await placing.go_on(entry, after=readers[1])

    assert [await feed_of(world, one) for one in readers] == [
        *([[]] * 2),
        *([[entry.post_id]] * 2),
    ]
    assert [part.rows for part in watch.parts] == [2, 0]


async def test_followers_are_not_read_beyond_the_part() -> None:
    """The stream of followers is closed, so that svc_graph stops reading."""
    world = _Streaming()
    for number in range(10):
        world.follow(UserId(ANN + 100 + number), BEN)
    entry = entry_of(world, await world.post(BEN, is_fanned_out=False))

    await fan_out(world, part=3).place(entry, for_author_alone=False)

    assert (world.pages_read, world.closed) == (3, 1)


async def test_a_fan_out_that_fails_is_an_error_of_its_own_kind() -> None:
    """The bus holds events while a dependency is away; a group would hide that."""
    world = World()
    left = MemoryContinuations()
    world.follow(ANN, BEN)
    post_id = await world.post(BEN, is_fanned_out=False)
    world.index.is_down = True

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await fan_out(world, continuations=left, part=1).place(
            entry_of(world, post_id), for_author_alone=False
        )

    assert left.left == []


async def test_a_withdrawn_post_leaves_the_index() -> None:
    """Of the author and of those who follow them."""
    world = World()
    world.follow(ANN, BEN)
    first, second = await world.post(BEN), await world.post(BEN)

    for _ in range(2):
        await fan_out(world).withdraw(entry_of(world, first))

    assert await feed_of(world, ANN) == await feed_of(world, BEN) == [second]


class _Streaming(World):
    """Counts how far followers are read."""

    pages_read = 0
    closed = 0

    async def followers(
        self, author: UserId, *, after: UserId
    ) -> AsyncGenerator[list[UserId]]:
        try:
            async for page in super().followers(author, after=after):
                self.pages_read += 1
                yield page
        finally:
            self.closed += 1
