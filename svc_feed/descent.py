"""Going down the posts of many authors at once, newest first and without a gap.

Each author's posts are asked for in runs. Below the last post of a run that may have
more nothing is known of that author, so the descent stops there until the next run is
in: it costs as many questions as there are posts, not as there are authors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .model import ABOVE_ALL, Entry, PostId, UserId
from .ports import PostRecords

# What the contract lets one call ask for.
MOST_AUTHORS = 500
MOST_POSTS = 50
FEWEST_POSTS = 2

# Authors whose runs end soonest are asked together.
TOGETHER = 50


@dataclass(slots=True)
class Source:
    """What of an author's posts belongs into a feed."""

    author: UserId

    since: PostId
    """All from here on."""

    lowest: PostId
    """And from here on the newest of those before."""

    before_since: int
    """That many."""

    last: PostId = ABOVE_ALL
    """All above, and this, was seen."""

    is_end: bool = False
    """Nothing older belongs."""

    def take(self, run: Sequence[Entry], *, asked: int) -> list[Entry]:
        """What of a run, newest first, belongs and was not seen yet."""
        taken: list[Entry] = []
        for entry in run:
            if entry.post_id >= self.last:
                continue
            if entry.post_id < self.lowest or (
                entry.post_id < self.since and not self.before_since
            ):
                self.is_end = True
                return taken
            if entry.post_id < self.since:
                self.before_since -= 1
            self.last = entry.post_id
            taken.append(entry)
        self.is_end = len(run) < asked
        return taken


class Descent:
    """One way down, from below a post."""

    def __init__(
        self,
        *,
        sources: Iterable[Source],
        records: PostRecords,
        before: PostId,
        in_flight: int,
    ) -> None:
        """`in_flight`: questions under way at the same time."""
        self._sources = list(sources)
        self._by_author = {one.author: one for one in self._sources}
        self._records = records
        self._before = before
        self._permits = asyncio.Semaphore(in_flight)
        self._open = list(self._sources)
        self._waiting: list[Entry] = []
        self._is_begun = False

    @property
    def is_end(self) -> bool:
        """Nothing is left below what was given out."""
        return self._is_begun and not self._open and not self._waiting

    async def stretch(self, limit: int) -> list[Entry]:
        """The next entries down; fewer than `limit` are all there are left."""
        found: list[Entry] = []
        if not self._is_begun:
            await self._begin(limit)
        while True:
            floor = max((one.last for one in self._open), default=0)
            while (
                len(found) < limit
                and self._waiting
                and self._waiting[-1].post_id >= floor
            ):
                found.append(self._waiting.pop())
            if len(found) == limit or not self._open:
                return found
            await self._go_on(PostId(floor))

    async def _begin(self, limit: int) -> None:
        """The first run of everybody: short where they are many."""
        each = 4 * limit // max(1, len(self._sources))
        each = max(FEWEST_POSTS, min(MOST_POSTS, each))
        chunks = [
            self._sources[start : start + MOST_AUTHORS]
            for start in range(0, len(self._sources), MOST_AUTHORS)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for chunk in chunks:
                    group.create_task(self._ask(chunk, self._before, each))
        except ExceptionGroup as failures:
            # One reason will do: nothing is known of the whole.
            raise failures.exceptions[0] from failures
        self._is_begun = True
        self._settle()

    async def _go_on(self, floor: PostId) -> None:
        self._open.sort(key=lambda one: -one.last)
        await self._ask(self._open[:TOGETHER], floor, MOST_POSTS)
        self._settle()

    async def _ask(self, sources: list[Source], before: PostId, limit: int) -> None:
        lowest = min(one.lowest for one in sources)
        async with self._permits:
            runs = await self._records.recents(
                [one.author for one in sources],
                limit=limit,
                after=PostId(max(0, lowest - 1)),
                before=before,
            )
        for author, run in runs.items():
            self._waiting += self._by_author[author].take(run, asked=limit)

    def _settle(self) -> None:
        self._open = [one for one in self._open if not one.is_end]
        self._waiting.sort()
