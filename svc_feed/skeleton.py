"""Step 1 of a page, the skeleton: ids only, newest first.

They come from up to four places: the hot feed, the index below it, the recent posts
of followed celebrities, and the reader's own newest posts, which need not wait for
fan-out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from chassis.errors import MeshError

from .model import ABOVE_ALL, BELOW_ALL, Entry, Glance, Hot, PostId, ServedFrom, UserId
from .ports import FeedIndex, HotFeeds, Posts

# Posts of one celebrity in one slice. What is cached of each holds two such slices.
CELEBRITY_SLICE = 25

# A feed of which the hot copy says nothing: all comes from the index.
INDEX_ALONE = Hot((), ABOVE_ALL)


class Slice(NamedTuple):
    """A stretch of the skeleton without a gap."""

    entries: Sequence[Entry]
    """Newest first."""

    before: PostId
    """Where the next stretch goes on."""

    is_end: bool
    """Nothing older is there."""


class Run(NamedTuple):
    """What one place holds of a stretch."""

    entries: Sequence[Entry]
    """Newest first, each once."""

    is_end: bool
    """It holds nothing older. Where it does, `entries` is not empty."""


def merge(runs: Iterable[Run], *, before: PostId, limit: int) -> Slice:
    """Joins runs as far down as all of them reach.

    A run that holds more than it gave says nothing about what is older than its last
    entry, so the slice ends at the highest such floor.
    """
    floor = BELOW_ALL
    found: dict[PostId, Entry] = {}
    for run in runs:
        if not run.is_end:
            floor = max(floor, run.entries[-1].post_id)
        for entry in run.entries:
            found[entry.post_id] = entry
    entries = sorted((found[key] for key in found if key >= floor), reverse=True)
    if len(entries) > limit:
        return Slice(entries[:limit], entries[limit - 1].post_id, is_end=False)
    if floor:
        return Slice(entries, floor, is_end=False)
    return Slice(entries, entries[-1].post_id if entries else before, is_end=True)


def below(entries: Sequence[Entry], before: PostId, limit: int) -> Run:
    """The part of a list, newest first, that is older than `before`."""
    start = bisect_right(entries, -before, key=_newest_first)
    return Run(entries[start : start + limit], start + limit >= len(entries))


class Skeleton:
    """The ids of one reader's feed, as they stand during one page."""

    def __init__(
        self,
        *,
        viewer: UserId,
        glance: Glance,
        celebrities: frozenset[UserId],
        index: FeedIndex,
        hot_feeds: HotFeeds,
        posts: Posts,
        window: int,
    ) -> None:
        """`window`: entries of a whole hot feed."""
        self._viewer = viewer
        self._glance = glance
        self._celebrities = sorted(celebrities)
        self._index = index
        self._hot_feeds = hot_feeds
        self._posts = posts
        self._window = window
        self._hot: Hot | None = glance.hot
        self._own: Sequence[Entry] | None = glance.own
        self.served_from = ServedFrom.HOT if glance.hot else ServedFrom.INDEX

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
        return merge(runs, before=before, limit=limit)

    async def _placed(self, before: PostId, limit: int) -> Run:
        """What fan-out placed: hot as far as it reaches, then the index."""
        hot = self._hot
        if hot is None:
            hot = self._hot = await self._rebuilt()
        run = below(hot.entries, before, limit)
        if run.entries or not hot.floor:
            return Run(run.entries, run.is_end and not hot.floor)
        try:
            older = await self._index.newest(
                self._viewer, limit=limit, before=min(before, PostId(hot.floor + 1))
            )
        except MeshError:
            if hot.entries:
                self.served_from = ServedFrom.CACHE_ONLY
            raise
        self.served_from = ServedFrom.INDEX
        return Run(older, len(older) < limit)

    async def _rebuilt(self) -> Hot:
        """Fills the hot feed from the index, unless somebody else is at it."""
        build = None
        if self._glance.is_reachable:
            with suppress(MeshError):
                build = await self._hot_feeds.begin(self._viewer)
        if build is None:
            return INDEX_ALONE
        entries = await self._index.newest(self._viewer, limit=self._window)
        with suppress(MeshError):
            await self._hot_feeds.finish(self._viewer, build, entries)
        is_whole = len(entries) < self._window
        return Hot(entries, BELOW_ALL if is_whole else PostId(entries[-1].post_id - 1))

    async def _own_posts(self) -> Sequence[Entry]:
        """The reader's own newest posts, or those of fan-out alone."""
        with suppress(MeshError):
            return await self._posts.own(self._viewer)
        return ()


def _newest_first(entry: Entry) -> int:
    return -entry.post_id
