"""What happens to feeds when people post, follow, block and leave.

Every method may be repeated: redelivery of its event changes nothing more. The index
is written first, then the hot feeds; a failure in between is cured by redelivery.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from chassis import ids
from chassis.clock import Clock

from .model import Entry, PostId, UserId
from .ports import FeedIndex, Graph, HotFeeds, PostRecords

BACKFILL_AGE = timedelta(hours=24)
BACKFILL_POSTS = 50


class FeedFanOut:
    """Places posts in the feeds of those who follow their author."""

    def __init__(
        self, *, index: FeedIndex, hot_feeds: HotFeeds, graph: Graph, in_flight: int
    ) -> None:
        """`in_flight`: pages of followers written at the same time for one post."""
        self._index = index
        self._hot_feeds = hot_feeds
        self._graph = graph
        self._in_flight = in_flight

    async def place(self, entry: Entry, *, for_author_alone: bool) -> None:
        """Places a post in its author's feed, and in those of their followers.

        Posts of celebrities are not fanned out: readers pull them.
        """
        if for_author_alone:
            await self._place([entry.author_id], entry)
            return
        permits = asyncio.Semaphore(self._in_flight)
        try:
            async with asyncio.TaskGroup() as group:
                async for page in self._audience(entry.author_id):
                    await permits.acquire()
                    task = group.create_task(self._place(page, entry))
                    task.add_done_callback(lambda _: permits.release())
        except ExceptionGroup as failures:
            # One reason will do: the event comes again as a whole.
            raise failures.exceptions[0] from failures

    async def withdraw(self, entry: Entry) -> None:
        """Takes a deleted post out of the index.

        Tidying up, no more: a deleted post is not shown whatever the index says, so
        neither hot feeds nor feeds of people who unfollowed since are searched.
        """
        async for page in self._audience(entry.author_id):
            await self._index.remove_post(page, entry.post_id)

    async def _place(self, viewers: list[UserId], entry: Entry) -> None:
        await self._index.add(viewers, entry)
        await self._hot_feeds.append(viewers, entry)

    async def _audience(self, author: UserId) -> AsyncIterator[list[UserId]]:
        """Whose feeds hold the author's posts, in pages; the author is on the first."""
        own = [author]
        reach = await self._graph.reach(author)
        if reach.follower_count and not reach.is_celebrity:
            async for page in self._graph.followers(author):
                yield own + page
                own = []
        if own:
            yield own


class FollowChanges:
    """Brings a reader's feed in line with whom they follow."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        graph: Graph,
        records: PostRecords,
        clock: Clock,
    ) -> None:
        self._index = index
        self._hot_feeds = hot_feeds
        self._graph = graph
        self._records = records
        self._clock = clock

    async def follow(self, follower: UserId, followee: UserId) -> None:
        """Fills in what the followed person posted lately.

        Does nothing when the follow has ended since: events of one edge may come in
        any order, and the graph knows how it ended.
        """
        if not await self._is_following(follower, followee):
            return
        reach = await self._graph.reach(followee)
        if reach.is_celebrity:
            return
        since = ids.floor_of(self._clock.now() - BACKFILL_AGE)
        recents = await self._records.recents(
            [followee], after=PostId(since), limit=BACKFILL_POSTS
        )
        if recents[followee]:
            await self._index.fill(follower, recents[followee])
            await self._hot_feeds.forget([follower])

    async def unfollow(self, follower: UserId, followee: UserId) -> None:
        """Takes the person's posts out, and back in if they are followed again.

        Asked after the removal, so that a follow of meanwhile is seen here or comes
        with an event of its own.
        """
        await self._index.remove_author(follower, followee)
        await self._hot_feeds.forget([follower])
        await self.follow(follower, followee)

    async def block(self, blocker: UserId, blocked: UserId) -> None:
        """Takes each one's posts out of the other's feed."""
        await self.unfollow(blocker, blocked)
        await self.unfollow(blocked, blocker)

    async def erase(self, user: UserId) -> None:
        """Takes out a deleted person's feed, and their posts everywhere."""
        await self._index.erase(user)
        await self._hot_feeds.forget([user])

    async def _is_following(self, follower: UserId, followee: UserId) -> bool:
        relations = await self._graph.relations(follower, [followee])
        return followee in relations and relations[followee].is_following
