"""Step 1 of a page, the skeleton: ids only, newest first.

They come from up to four places: the hot feed, what lies below it, the recent posts
of followed celebrities, and the reader's own newest posts, which need not wait for
fan-out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from chassis.errors import MeshError

from .cold import ColdFeeds
from .model import Entry, Glance, Hot, PostId, ReaderState, ServedFrom, UserId
from .ports import Posts
from .slices import Run, Slice, below, cut, merge

# Posts of one celebrity in one slice. What is cached of each holds two such slices.
CELEBRITY_SLICE = 25


class Skeleton:
    """The ids of one reader's feed, as they stand during one page."""

    def __init__(
        self,
        *,
        viewer: UserId,
        glance: Glance,
        celebrities: frozenset[UserId],
        cold: ColdFeeds,
        posts: Posts,
        is_reading: bool,
    ) -> None:
        """`is_reading`: False for a look that must not count as one."""
        self._viewer = viewer
        self._glance = glance
        self._celebrities = sorted(celebrities)
        self._cold = cold
        self._posts = posts
        self._is_reading = is_reading
        self._hot: Hot | None = glance.hot
        self._own: Sequence[Entry] | None = None
        self._edge = cold.edge()
        self.served_from = ServedFrom.HOT if glance.hot else ServedFrom.INDEX

        self.reader: ReaderState | None = None
        """What was noted of the reader before; None where nobody asked."""

        self.is_cut = False
        """Older posts are there, but below the edge."""

    async def older(self, before: PostId, limit: int) -> Slice:
        """The newest entries older than `before`; about `limit` of them.

        Raises a MeshError when neither hot feed nor index can tell.
        """
        runs = [await self._placed(before, limit)]
        if self._own is None:
            self._own = await self._own_posts()
        runs.append(Run(below(self._own, before, limit).entries, is_end=True))
        if self._celebrities:
            recents = await self._posts.recents(
                self._celebrities, before=before, limit=CELEBRITY_SLICE
            )
            runs += [
                Run(entries, len(entries) < CELEBRITY_SLICE)
                for entries in recents.values()
            ]
        part, is_cut = cut(merge(runs, before=before, limit=limit), self._edge)
        self.is_cut |= is_cut
        return part

    async def _placed(self, before: PostId, limit: int) -> Run:
        """What fan-out placed, or would have: hot as far as it reaches, then below."""
        hot = self._hot
        if hot is None:
            hot = self._hot = await self._opened()
        run = below(hot.entries, before, limit)
        if run.entries or not hot.floor:
            return Run(run.entries, run.is_end and not hot.floor)
        try:
            older = await self._below(min(before, PostId(hot.floor + 1)), limit)
        except MeshError:
            if hot.entries:
                self.served_from = ServedFrom.CACHE_ONLY
            raise
        return older

    async def _opened(self) -> Hot:
        if self._is_reading:
            opened = await self._cold.open(
                self._viewer, is_reachable=self._glance.is_reachable
            )
        else:
            opened = await self._cold.peek(self._viewer)
        self.reader, self.served_from = opened.state, opened.served_from
        return opened.hot

    async def _below(self, before: PostId, limit: int) -> Run:
        if self.reader is None:
            self.reader = await self._cold.state(self._viewer)
        is_placed = self._cold.is_placed(self._viewer, self.reader)
        run = await self._cold.below(
            self._viewer, self.reader, before=before, limit=limit
        )
        self.served_from = ServedFrom.INDEX if is_placed else ServedFrom.REBUILT
        return run

    async def _own_posts(self) -> Sequence[Entry]:
        """The reader's own newest posts, or those of fan-out alone."""
        with suppress(MeshError):
            return await self._posts.own(self._viewer, self._glance.own)
        return ()
