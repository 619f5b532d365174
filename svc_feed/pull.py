"""What belongs into a reader's feed, as graph and posts tell it.

Posts of people whom the reader follows, from the follow on; the newest of the day
before it; and the reader's own. Nothing older than the edge of the index. What is
fanned out, what is rebuilt and what is audited is all measured by this.
"""

from __future__ import annotations

from datetime import timedelta

from chassis import ids
from chassis.clock import Clock

from .descent import MOST_AUTHORS, Descent, Source
from .model import (
    ABOVE_ALL,
    BACKFILL_AGE,
    BACKFILL_POSTS,
    BELOW_ALL,
    Entry,
    Expected,
    Followee,
    PostId,
    UserId,
)
from .ports import Graph, PostRecords
from .slices import Slice

# Entries that an audit looks at.
MOST_EXPECTED = 20_000
STRETCH = 1_000

_BACKFILL_MS = int(BACKFILL_AGE.total_seconds() * 1000)


class FeedPull:
    """Reads feeds without their index."""

    def __init__(
        self,
        *,
        graph: Graph,
        records: PostRecords,
        clock: Clock,
        index_age: timedelta,
        in_flight: int,
    ) -> None:
        """`index_age`: how old the oldest post of an index may be.

        `in_flight`: questions for posts that one reader may have under way.
        """
        self._graph = graph
        self._records = records
        self._clock = clock
        self._index_age = index_age
        self._in_flight = in_flight

    def edge(self) -> PostId:
        """The oldest id that an index may hold now."""
        return PostId(ids.floor_of(self._clock.now() - self._index_age))

    async def older(self, viewer: UserId, *, before: PostId, limit: int) -> Slice:
        """The newest entries that belong into the feed and are older than `before`.

        Fewer than `limit` mean that there are no more.
        """
        entries = await (await self.descent(viewer, before=before)).stretch(limit)
        is_end = len(entries) < limit
        return Slice(entries, entries[-1].post_id if entries else before, is_end)

    async def descent(
        self, viewer: UserId, *, before: PostId = ABOVE_ALL, after: PostId = BELOW_ALL
    ) -> Descent:
        """The way down a feed between the bounds, of whomever the viewer follows now.

        Posts of celebrities are among them: an author may cease to be one at any
        moment, and then their posts have to be where the others are.
        """
        lowest = max(self.edge(), PostId(after + 1))
        sources = [_source(one, lowest) for one in await self._following(viewer)]
        return Descent(
            sources=sources,
            records=self._records,
            before=before,
            in_flight=self._in_flight,
        )

    async def expected(self, viewer: UserId, *, since: PostId) -> Expected:
        """What the index must hold above `since`, and what it may hold.

        Private posts are among what it must hold, since posts are told by their ids
        alone: whether one is missed, the post itself says.
        """
        followees = {one.user_id: one for one in await self._following(viewer)}
        lowest = max(self.edge(), PostId(since + 1))
        descent = Descent(
            sources=[_source(one, lowest) for one in followees.values()],
            records=self._records,
            before=ABOVE_ALL,
            in_flight=self._in_flight,
        )
        entries: list[Entry] = []
        optional: list[Entry] = []
        while not descent.is_end and len(entries) + len(optional) < MOST_EXPECTED:
            for entry in await descent.stretch(STRETCH):
                followee = followees[entry.author_id]
                is_due = entry.post_id >= _floor(followee.since_ms)
                if is_due and not followee.is_celebrity:
                    entries.append(entry)
                else:
                    optional.append(entry)
        return Expected(entries, optional, descent.is_end)

    async def is_beyond_edge(self, viewer: UserId) -> bool:
        """Whether posts that belong into the feed are older than the edge."""
        edge = self.edge()
        older = [
            _source(one, BELOW_ALL)
            for one in await self._following(viewer)
            if _floor(one.since_ms - _BACKFILL_MS) < edge
        ]
        for start in range(0, len(older), MOST_AUTHORS):
            chunk = {one.author: one for one in older[start : start + MOST_AUTHORS]}
            newest = await self._records.recents(list(chunk), limit=1, before=edge)
            if any(
                entry.post_id >= chunk[author].lowest
                for author, entries in newest.items()
                for entry in entries
            ):
                return True
        return False

    async def _following(self, viewer: UserId) -> list[Followee]:
        """All whose posts the viewer's feed holds, the viewer first."""
        found = [Followee(viewer, 0, is_celebrity=False)]
        async for page in self._graph.following(viewer):
            found += page
        return found


def _source(followee: Followee, lowest: PostId) -> Source:
    return Source(
        followee.user_id,
        since=max(lowest, _floor(followee.since_ms)),
        lowest=max(lowest, _floor(followee.since_ms - _BACKFILL_MS)),
        before_since=BACKFILL_POSTS,
    )


def _floor(unix_ms: int) -> PostId:
    """The smallest id of a moment."""
    return PostId(ids.floor_of_ms(unix_ms))
