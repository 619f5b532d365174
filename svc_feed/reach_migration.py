"""What happens to feeds when an author ceases to be pulled.

While readers pulled, posts were placed with nobody. Before they stop pulling, those
posts are placed with all followers, a page of them at a time: what is left comes back
as an event. Meanwhile posts are both pulled and fanned out, so none is missed; pages
merge by post, so none is shown twice.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from chassis import ids
from chassis.clock import Clock

from .model import ABOVE_ALL, PostId, UserId
from .ports import FeedIndex, Graph, HotFeeds, PostRecords, ReachMoves

# Posts that are told, and placed, at once.
POSTS = 50

# A post that came in shortly before its author was pulled may have been handled after,
# while fan-out was behind: then it was placed with nobody.
LATE = timedelta(days=1)

# Since ever.
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


class ReachMigration:
    """Places the posts of authors who are no celebrities any more."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        graph: Graph,
        records: PostRecords,
        moves: ReachMoves,
        clock: Clock,
        index_age: timedelta,
        in_flight: int,
    ) -> None:
        """`index_age`: how old the oldest post of an index may be.

        `in_flight`: pages of followers served at the same time, for all authors.
        """
        self._index = index
        self._hot_feeds = hot_feeds
        self._graph = graph
        self._records = records
        self._moves = moves
        self._clock = clock
        self._index_age = index_age
        self._permits = asyncio.Semaphore(in_flight)

    async def pulled(self, author: UserId, version: int) -> None:
        """Readers pull from now on: what is being placed need not be placed."""
        await self._moves.note(author, version, placed_since=None)

    async def pushed(
        self, author: UserId, version: int, *, pulled_since: datetime | None
    ) -> None:
        """Begins to place what was not while readers pulled."""
        since = (pulled_since or ALWAYS) - LATE
        move = await self._moves.note(author, version, placed_since=since)
        if move.version == version and not move.after:
            await self.go_on(author, version, after=move.after)

    async def go_on(self, author: UserId, version: int, *, after: UserId) -> None:
        """Places the posts with the next followers; behind the last, says so.

        Does nothing when the reach changed again, or when others went on from here.
        """
        async with self._permits:
            move = await self._moves.last(author)
            if move is None or move.is_done or move.placed_since is None:
                return
            if (move.version, move.after) != (version, after):
                return
            viewers = await self._next(author, after)
            if viewers:
                await self._place(author, viewers, since=move.placed_since)
                await self._moves.advance(author, version, after=viewers[-1])
            else:
                await self._graph.complete_reach_change(author, version)
                await self._moves.finish(author, version)

    async def _next(self, author: UserId, after: UserId) -> list[UserId]:
        async with aclosing(self._graph.followers(author, after=after)) as pages:
            async for page in pages:
                return page
        return []

    async def _place(
        self, author: UserId, viewers: list[UserId], *, since: datetime
    ) -> None:
        since = max(since, self._clock.now() - self._index_age)
        before = ABOVE_ALL
        while True:
            recents = await self._records.recents(
                [author], after=PostId(ids.floor_of(since)), before=before, limit=POSTS
            )
            entries = recents[author]
            if entries:
                await self._index.add_all(viewers, entries)
                before = entries[-1].post_id
            if len(entries) < POSTS:
                break
        # Dropped, not appended to: so many posts, and old ones, would push the newest
        # out of them. Whoever builds one from now on finds all in the index.
        await self._hot_feeds.forget(viewers)
