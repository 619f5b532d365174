"""What becomes of hot feeds that could not be written: nobody believes them.

Fan-out must go on while Valkey is away, or the index would stand still with it. But a
hot feed that missed a post and comes back claims to be whole. So an append or a
removal that fails advances a generation in the index's database, which is up, or the
index could not have been written; and a hot feed of an older generation is built anew.
Until Valkey is told of it, readers lack the post as they do while fan-out is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from chassis.errors import MeshError

from .model import Entry, Hot, UserId
from .ports import Generations, HotFeeds, HotTags

# Between two looks at the generation: how long doubts take to reach Valkey.
TELL_SECONDS = 1.0


class DoubtedHotFeeds:
    """HotFeeds whose writes always succeed: by themselves, or by doubting them all."""

    def __init__(self, *, hot_feeds: HotFeeds, generations: Generations) -> None:
        self._hot_feeds = hot_feeds
        self._generations = generations

    async def append(self, viewers: Sequence[UserId], entry: Entry) -> None:
        try:
            await self._hot_feeds.append(viewers, entry)
        except MeshError:
            await self._generations.advance()

    async def forget(self, viewers: Sequence[UserId]) -> None:
        try:
            await self._hot_feeds.forget(viewers)
        except MeshError:
            await self._generations.advance()

    async def look(self, viewer: UserId) -> Hot | None:
        return await self._hot_feeds.look(viewer)

    async def begin(self, viewer: UserId) -> str | None:
        return await self._hot_feeds.begin(viewer)

    async def finish(
        self,
        viewer: UserId,
        build: str,
        hot: Hot,
        *,
        lasting: timedelta | None = None,
    ) -> None:
        await self._hot_feeds.finish(viewer, build, hot, lasting=lasting)


class DoubtTeller:
    """Tells Valkey which generation is believed."""

    def __init__(self, *, generations: Generations, tags: HotTags) -> None:
        self._generations = generations
        self._tags = tags

    async def run(self) -> None:
        """Background work of the worker role. Ends only when cancelled."""
        while True:
            with suppress(MeshError):
                await self.tell()
            await asyncio.sleep(TELL_SECONDS)

    async def tell(self) -> None:
        """Once; raises Unavailable when either side does not answer."""
        await self._tags.believe(await self._generations.current())
