"""Unfollows and refollows with everything that can come in between, step by step.

Events of one edge and fan-outs of its author run at the same time, take turns at every
call, are cut off anywhere, and come again in any order. However that goes, a reader who
follows at the end has what belongs into the feed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.ids import time_of

from svc_feed.model import (
    ABOVE_ALL,
    BACKFILL_POSTS,
    BELOW_ALL,
    Entry,
    Followee,
    PostId,
    UserId,
)
from tests.support.feed_twins import MemoryFeedIndex
from tests.support.feed_writing import entry_of, fan_out, feed_of, follows
from tests.support.home_feeds import ANN, BEN, STRANGER, World

Handling = Callable[[], Awaitable[None]]


class Turns:
    """Lets tasks go on one at a time, at the calls they make."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def take(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn

    def give(self, chance: random.Random) -> None:
        self.waiting.pop(chance.randrange(len(self.waiting))).set_result(None)


class TurnsIndex(MemoryFeedIndex):
    """The index, one call at a time."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    async def add(self, viewers: Sequence[UserId], entry: Entry) -> int:
        await self._turns.take()
        return await super().add(viewers, entry)

    async def remove_author(self, *args: Any, **bounds: Any) -> None:
        await self._turns.take()
        await super().remove_author(*args, **bounds)


class TurnsWorld(World):
    """The world, one question at a time."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns
        self.index = TurnsIndex(turns)

    async def followee(self, viewer: UserId, author: UserId) -> Followee | None:
        await self._turns.take()
        return await super().followee(viewer, author)

    async def followers(
        self, author: UserId, *, after: UserId
    ) -> AsyncGenerator[list[UserId]]:
        await self._turns.take()
        async for page in super().followers(author, after=after):
            yield page

    async def recents(
        self,
        authors: Sequence[UserId],
        *,
        limit: int,
        after: PostId = BELOW_ALL,
        before: PostId = ABOVE_ALL,
    ) -> Mapping[UserId, Sequence[Entry]]:
        await self._turns.take()
        return await super().recents(authors, limit=limit, after=after, before=before)


class Story:
    """One reader, one author, and what is on its way."""

    def __init__(self, seed: int, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.chance = random.Random(seed)
        self.turns = Turns()
        self.world = TurnsWorld(self.turns)
        self.events: list[Handling] = []
        """Not acknowledged yet."""
        self.handled: list[Handling] = []
        self.under_way: list[asyncio.Task[None]] = []

    async def live(self, steps: Sequence[str]) -> None:
        for step in steps:
            await getattr(self, step)()
            await self.settle()
        # The end: all is delivered, some of it again, and none is cut off.
        self.events += self.chance.sample(self.handled, len(self.handled) // 2)
        while self.events or self.under_way:
            await (self.deliver() if self.events else self.go_on())
            await self.settle()

    async def follow(self) -> None:
        if not self.follows:
            await self.pass_time()
            self.world.follow(ANN, BEN)
            self.events.append(lambda: follows(self.world).follow(ANN, BEN))

    async def unfollow(self) -> None:
        if self.follows:
            await self.pass_time()
            self.world.relate(ANN, BEN, STRANGER)
            at = self.now()
            self.events.append(lambda: follows(self.world).unfollow(ANN, BEN, at=at))

    async def post(self) -> None:
        for _ in range(self.chance.choice((1, 3, BACKFILL_POSTS))):
            await self.pass_time(most=0.01)
            entry = entry_of(
                self.world, await self.world.post(BEN, is_fanned_out=False)
            )
            self.events.append(self.placing(entry))

    def placing(self, entry: Entry) -> Handling:
        return lambda: fan_out(self.world).place(entry, for_author_alone=False)

    async def deliver(self) -> None:
        """One event begins to be handled; it may be one that was handled before."""
        if self.events:
            event = self.events.pop(self.chance.randrange(len(self.events)))
            self.under_way.append(self._group.create_task(self._handle(event)))

    async def _handle(self, event: Handling) -> None:
        try:
            await event()
            self.handled.append(event)
        except asyncio.CancelledError:
            self.events.append(event)
            raise

    async def go_on(self) -> None:
        if self.turns.waiting:
            self.turns.give(self.chance)

    async def cut_off(self) -> None:
        """A worker dies: what it was at is delivered again."""
        if self.under_way:
            self.chance.choice(self.under_way).cancel()

    async def settle(self) -> None:
        """Until everybody waits for their turn."""
        for _ in range(10):
            await asyncio.sleep(0)
        self.turns.waiting = [one for one in self.turns.waiting if not one.done()]
        self.under_way = [one for one in self.under_way if not one.done()]

    async def pass_time(self, *, most: float = 1_800.0) -> None:
        self.world.clock.advance(0.002 + self.chance.random() * most)
        self.world.skip_to_now()

    @property
    def follows(self) -> bool:
        return self.world.edges.get((ANN, BEN), STRANGER).is_following

    def now(self) -> datetime:
        return self.world.clock.now()


def must_see(world: World) -> set[PostId]:
    """Posts since the follow, and the newest of the day before it."""
    since = datetime.fromtimestamp(0, tz=world.clock.now().tzinfo) + timedelta(
        milliseconds=world.since_ms[ANN, BEN]
    )
    ordered = sorted(world.posts, reverse=True)
    after = {one for one in ordered if time_of(one) >= since}
    before = [one for one in ordered if since - timedelta(days=1) <= time_of(one)]
    return after | set([one for one in before if one not in after][:BACKFILL_POSTS])


STEPS = (
    "follow",
    "unfollow",
    "post",
    "deliver",
    "deliver",
    "go_on",
    "go_on",
    "cut_off",
)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=5, max_size=40),
    seed=st.integers(0, 2**32),
)
def test_who_follows_at_the_end_has_what_belongs(steps: list[str], seed: int) -> None:
    """Whatever was on its way, cut off, late or repeated meanwhile."""

    async def told() -> None:
        async with asyncio.TaskGroup() as group:
            story = Story(seed, group)
            await story.live(["follow", "post", *steps, "follow"])

        assert must_see(story.world) <= set(await feed_of(story.world, ANN))

    asyncio.run(told())


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=5, max_size=40),
    seed=st.integers(0, 2**32),
)
def test_who_does_not_follow_at_the_end_is_rid_of_what_was_placed_before(
    steps: list[str], seed: int
) -> None:
    """Unless it was being fanned out right then, which the rules of reading hide."""

    async def told() -> None:
        async with asyncio.TaskGroup() as group:
            story = Story(seed, group)
            await story.live(["follow", "post", *steps, "follow"])
            await story.live(["unfollow"])

        assert await feed_of(story.world, ANN) == []

    asyncio.run(told())
