"""Indexes made anew from graph and posts, for readers who were away.

The newest stretch is made while the reader waits, the rest in the background. Until
that is done the reader counts as not whole, so that pages below the stretch are pulled
and whatever ends the work half-way only has it begun again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import structlog

from chassis import deadline
from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, MeshError

from .descent import Descent
from .model import ABOVE_ALL, Entry, PostId, UserId
from .ports import ColdWatch, FeedIndex, HotFeeds, Readers
from .pull import FeedPull
from .slices import Slice

log = structlog.get_logger(__name__)

# What a rebuild that was asked for is waited for; its call has ten.
CALL_SECONDS = 5.0
# Entries placed by one statement.
BATCH = 1_000
# Readers whose index waits to be completed; the next read of others begins again.
MOST_WAITING = 1_000


class Rebuilt(NamedTuple):
    """How far a rebuild came while somebody waited."""

    entries: int
    """Placed by now."""

    is_complete: bool
    """Nothing is left to be done in the background."""


class FeedRebuild:
    """Makes indexes anew."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        readers: Readers,
        pull: FeedPull,
        watch: ColdWatch,
        clock: Clock,
        seconds: float,
        at_once: int,
    ) -> None:
        """`seconds`: what a page may wait for the newest stretch.

        `at_once`: indexes completed in the background at the same time.
        """
        self._index = index
        self._hot_feeds = hot_feeds
        self._readers = readers
        self._pull = pull
        self._watch = watch
        self._clock = clock
        self._seconds = seconds
        self._at_once = at_once
        self._waiting: dict[UserId, PostId] = {}
        self._is_waiting = asyncio.Event()

    async def begin(self, viewer: UserId, *, limit: int) -> Slice:
        """The newest stretch, placed; the rest is left to the background.

        Raises a MeshError; all of it is left to the background then.
        """
        try:
            async with self.timed("first"), deadline.limit(self._seconds):
                descent = await self._pull.descent(viewer)
                entries = await descent.stretch(limit)
                await self._index.fill(viewer, entries)
        except MeshError:
            self.complete_later(viewer, ABOVE_ALL)
            raise
        before = entries[-1].post_id if entries else ABOVE_ALL
        if descent.is_end:
            # What is noted too late costs one more rebuild.
            with suppress(MeshError):
                await self._readers.set_whole(viewer, True)
        else:
            self.complete_later(viewer, before)
        return Slice(entries, before, descent.is_end)

    async def rebuild(self, viewer: UserId) -> Rebuilt:
        """All of an index, now as far as time allows, and the hot feed after it.

        Adds what is missing. What does not belong any more stays, hidden by the rules
        of reading. Raises Unavailable.
        """
        if (await self._readers.state(viewer)).pulls:
            await self._hot_feeds.forget([viewer])
            return Rebuilt(0, is_complete=True)
        await self._readers.set_whole(viewer, False)
        placed = 0
        before = ABOVE_ALL
        is_complete = False
        with suppress(DeadlineExceeded):
            async with self.timed("asked"), deadline.limit(CALL_SECONDS):
                descent = await self._pull.descent(viewer)
                while not descent.is_end:
                    entries = await self._place(viewer, descent)
                    placed += len(entries)
                    before = entries[-1].post_id if entries else before
                await self._readers.set_whole(viewer, True)
                is_complete = True
        if not is_complete:
            self.complete_later(viewer, before)
        await self._hot_feeds.forget([viewer])
        return Rebuilt(placed, is_complete)

    def complete_later(self, viewer: UserId, before: PostId) -> None:
        """Leaves what is older than `before` to the background."""
        if viewer in self._waiting or len(self._waiting) < MOST_WAITING:
            self._waiting[viewer] = max(before, self._waiting.get(viewer, before))
            self._is_waiting.set()

    async def run(self) -> None:
        """Background work: completes what waits. Ends only when cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._complete_all())

    async def _complete_all(self) -> None:
        while True:
            await self._is_waiting.wait()
            await self.complete_next()

    async def complete_next(self) -> None:
        """Completes one index of those that wait, if there is one."""
        viewer = next(iter(self._waiting), None)
        if viewer is None:
            self._is_waiting.clear()
            return
        before = self._waiting.pop(viewer)
        try:
            async with self.timed("rest"):
                descent = await self._pull.descent(viewer, before=before)
                while not descent.is_end:
                    await self._place(viewer, descent)
                await self._readers.set_whole(viewer, True)
        except MeshError as error:
            log.warning("rebuild put off", reader=viewer, error=str(error))
            # The next read finds no hot feed, and an index that is not whole.
            with suppress(MeshError):
                await self._hot_feeds.forget([viewer])

    @asynccontextmanager
    async def timed(self, kind: str) -> AsyncIterator[None]:
        """Tells how long the block took, and whether it was done."""
        began = self._clock.monotonic()
        is_done = False
        try:
            yield
            is_done = True
        finally:
            self._watch.took(kind, self._clock.monotonic() - began, is_done=is_done)

    async def _place(self, viewer: UserId, descent: Descent) -> list[Entry]:
        entries = await descent.stretch(BATCH)
        if entries:
            await self._index.fill(viewer, entries)
        return entries
