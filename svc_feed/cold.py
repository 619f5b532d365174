"""Feeds of which there is no hot copy, or which go on below it.

From the index, where all of a reader's posts are placed. Else from graph and posts:
for readers who follow so many that nothing is placed for them, and for those who were
away so long that fan-out passed over them, until their index is rebuilt. Which of them
a reader is, is asked when a hot feed is built, at least once a day for whoever reads,
and below it; never on a page that the hot feed holds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from chassis import deadline
from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, MeshError, Unavailable

from .model import (
    ABOVE_ALL,
    BELOW_ALL,
    Entry,
    Hot,
    PostId,
    ReaderState,
    ServedFrom,
    UserId,
)
from .ports import FeedIndex, HotFeeds, Readers, Repairs
from .pull import FeedPull
from .rebuild import FeedRebuild
from .slices import Run, Slice

# A feed of which the hot copy says nothing: all comes from below it.
NOTHING_HOT = Hot((), ABOVE_ALL)

# Without Valkey every page would note that its reader reads.
NOTED_SECONDS = 3_600.0
MOST_NOTED = 10_000


class Opened(NamedTuple):
    """A feed as found where there was no hot copy."""

    hot: Hot
    """What is known of it; below its floor there may be more."""

    state: ReaderState
    served_from: ServedFrom


class ColdFeeds:
    """Finds what hot feeds do not hold, and builds them."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        readers: Readers,
        pull: FeedPull,
        rebuild: FeedRebuild,
        repairs: Repairs,
        clock: Clock,
        window: int,
        pulled_ttl: timedelta,
        seconds: float,
    ) -> None:
        """`window`: entries of a whole hot feed. `pulled_ttl`: how long what was
        pulled is kept as one. `seconds`: what a page may wait for a pull."""
        self._index = index
        self._hot_feeds = hot_feeds
        self._readers = readers
        self._pull = pull
        self._rebuild = rebuild
        self._repairs = repairs
        self._clock = clock
        self._window = window
        self._pulled_ttl = pulled_ttl
        self._seconds = seconds
        self._noted: dict[UserId, float] = {}

    def edge(self) -> PostId:
        """The oldest id that a feed shows now."""
        return self._pull.edge()

    async def open(self, viewer: UserId, *, is_reachable: bool) -> Opened:
        """A feed whose hot copy is missing, which is built unless somebody is at it.

        Notes that the reader reads. Raises Unavailable.
        """
        build = None
        if is_reachable:
            with suppress(MeshError):
                build = await self._hot_feeds.begin(viewer)
        # Noted before graph and posts are read: what fan-out passed over until then
        # was committed by then, and is found there.
        state = await self._state(viewer, is_building=build is not None)
        if not self.is_placed(viewer, state):
            return await self._pulled(viewer, state, build, is_reachable=is_reachable)
        if build is None:
            return Opened(NOTHING_HOT, state, ServedFrom.INDEX)
        entries = await self._index.newest(viewer, limit=self._window)
        hot = self._hot(entries, is_end=len(entries) < self._window)
        with suppress(MeshError):
            await self._hot_feeds.finish(viewer, build, hot)
        self._repairs.notice(viewer)
        return Opened(hot, state, ServedFrom.INDEX)

    async def peek(self, viewer: UserId) -> Opened:
        """The same without a trace: nothing is built, and no reading noted."""
        state = await self._readers.state(viewer)
        served = (
            ServedFrom.INDEX if self.is_placed(viewer, state) else ServedFrom.REBUILT
        )
        return Opened(NOTHING_HOT, state, served)

    async def state(self, viewer: UserId) -> ReaderState:
        """What is noted of the reader, for `below`."""
        return await self._readers.state(viewer)

    def is_placed(self, viewer: UserId, state: ReaderState) -> bool:
        """Whether the index holds all that belongs into the reader's feed."""
        if state.pulls or not state.is_whole:
            return False
        return not self._readers.is_idle(viewer, state)

    async def below(
        self, viewer: UserId, state: ReaderState, *, before: PostId, limit: int
    ) -> Run:
        """The newest entries below a hot feed. Raises Unavailable."""
        if self.is_placed(viewer, state):
            entries = await self._index.newest(viewer, limit=limit, before=before)
            return Run(entries, len(entries) < limit)
        part = await self._older(viewer, before=before, limit=limit)
        return Run(part.entries, part.is_end)

    async def _state(self, viewer: UserId, *, is_building: bool) -> ReaderState:
        """What is noted of the reader, who is noted to read unless that was lately."""
        now = self._clock.monotonic()
        noted = self._noted.get(viewer)
        if not is_building and noted is not None and now - noted < NOTED_SECONDS:
            return await self._readers.state(viewer)
        state = await self._readers.touch(viewer)
        if len(self._noted) >= MOST_NOTED:
            self._noted.clear()
        self._noted[viewer] = now
        return state

    async def _pulled(
        self,
        viewer: UserId,
        state: ReaderState,
        build: str | None,
        *,
        is_reachable: bool,
    ) -> Opened:
        """The newest of a feed that is not placed, by graph and posts."""
        is_others_work = build is None and is_reachable
        if state.pulls or is_others_work:
            part = await self._older(viewer, before=ABOVE_ALL, limit=self._window)
        else:
            part = await self._in_time(self._rebuild.begin(viewer, limit=self._window))
        hot = self._hot(part.entries, is_end=part.is_end)
        if build is not None:
            lasting = self._pulled_ttl if state.pulls else None
            with suppress(MeshError):
                await self._hot_feeds.finish(viewer, build, hot, lasting=lasting)
        return Opened(hot, state, ServedFrom.REBUILT)

    def _hot(self, entries: Sequence[Entry], *, is_end: bool) -> Hot:
        floor = BELOW_ALL if is_end else PostId(entries[-1].post_id - 1)
        return Hot(entries, floor)

    async def _older(self, viewer: UserId, *, before: PostId, limit: int) -> Slice:
        async with self._rebuild.timed("pull"):
            return await self._in_time(
                self._pull.older(viewer, before=before, limit=limit)
            )

    async def _in_time(self, part: Awaitable[Slice]) -> Slice:
        try:
            async with deadline.limit(self._seconds):
                return await part
        except DeadlineExceeded as error:
            # The page itself may have time left: it is what it waits for that is late.
            raise Unavailable(
                "DEPENDENCY_UNAVAILABLE",
                "the posts of the feed are not found in time",
                retry_after=1,
            ) from error
