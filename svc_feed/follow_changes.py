"""What happens to a reader's feed when they follow, unfollow, block and leave.

The events of one edge may come in any order, late and again; svc_graph knows how it
ended. So each of them asks for the edge as it is, and brings the index in line with
that. A removal is followed by a second question: a follow that came in between is seen
there, or comes with an event of its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chassis import ids
from chassis.clock import Clock

from .model import (
    BACKFILL_AGE,
    BACKFILL_POSTS,
    Entry,
    Followee,
    PostId,
    UserId,
)
from .ports import FeedIndex, Graph, HotFeeds, Notes, PostRecords, Readers

# Of posts this much younger than the follow, fan-out may have asked for the followers
# before the follow was there. All of them are placed, however many.
SURE = timedelta(minutes=10)
# An ended follow removes nothing younger than its question, give or take clocks: a
# follow of meanwhile may have placed it. Less than SURE.
SKEW = timedelta(minutes=1)

# Who pulls is pushed again below this share of the limit, so that nobody goes to and
# fro with every follow.
PUSHED_SHARE = 0.9


class FollowChanges:
    """Brings a reader's feed in line with whom they follow."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        graph: Graph,
        records: PostRecords,
        readers: Readers,
        notes: Notes,
        clock: Clock,
        pull_all_above: int,
    ) -> None:
        """`pull_all_above`: who follows more pulls all posts."""
        self._index = index
        self._hot_feeds = hot_feeds
        self._graph = graph
        self._records = records
        self._readers = readers
        self._notes = notes
        self._clock = clock
        self._pull_above = pull_all_above
        self._push_below = int(pull_all_above * PUSHED_SHARE)

    async def follow(self, follower: UserId, followee: UserId) -> None:
        """Fills in what the followed person posted lately."""
        edge = await self._graph.followee(follower, followee)
        if edge is not None:
            await self._fill(follower, edge)
        await self.choose(follower)

    async def unfollow(
        self, follower: UserId, followee: UserId, *, at: datetime
    ) -> None:
        """Takes the person's posts out.

        Where they are followed again, only what is older than the unfollow `at` and
        does not belong to the new follow.
        """
        asked = PostId(ids.floor_of(self._clock.now() + SKEW))
        edge = await self._graph.followee(follower, followee)
        if edge is None:
            await self._index.remove_author(follower, followee, before=asked)
            await self._hot_feeds.forget([follower])
            edge = await self._graph.followee(follower, followee)
            if edge is not None:
                await self._fill(follower, edge)
        else:
            belonging = await self._belonging(edge)
            older = min(ids.floor_of(at), ids.floor_of_ms(edge.since_ms))
            await self._index.remove_author(
                follower,
                followee,
                before=PostId(older),
                keeping=[one.post_id for one in belonging],
            )
            await self._index.fill(follower, belonging)
            await self._hot_feeds.forget([follower])
        await self.choose(follower)

    async def block(self, blocker: UserId, blocked: UserId, *, at: datetime) -> None:
        """Takes each one's posts out of the other's feed."""
        await self.unfollow(blocker, blocked, at=at)
        await self.unfollow(blocked, blocker, at=at)

    async def erase(self, user: UserId) -> None:
        """Takes out a deleted person's feed, and their posts everywhere."""
        await self._index.erase(user)
        await self._readers.forget(user)
        await self._hot_feeds.forget([user])
        await self._notes.forget(user)

    async def choose(self, reader: UserId) -> None:
        """Lets who follows too many pull, and have posts placed who does not."""
        count = (await self._graph.reach(reader)).following_count
        if self._push_below <= count <= self._pull_above:
            return
        pulls = count > self._pull_above
        if (await self._readers.state(reader)).pulls == pulls:
            return
        if not pulls:
            # In this order: the next read fills in what was not placed so far.
            await self._readers.set_whole(reader, False)
        await self._readers.set_pulls(reader, pulls)
        # Below a hot feed of before is an index that is not kept up any more.
        await self._hot_feeds.forget([reader])

    async def _fill(self, follower: UserId, edge: Followee) -> None:
        if entries := await self._belonging(edge):
            await self._index.fill(follower, entries)
            await self._hot_feeds.forget([follower])

    async def _belonging(self, edge: Followee) -> list[Entry]:
        """What of a person belongs into the feed of who follows them, newest first.

        Their newest posts of the day before the follow, and those that came right
        after it. Nothing of those whom readers pull.
        """
        if not (await self._graph.reach(edge.user_id)).is_fanned_out:
            return []
        followed = ids.floor_of_ms(edge.since_ms)
        after = PostId(ids.floor_of_ms(edge.since_ms - _ms(BACKFILL_AGE)))
        before = PostId(ids.floor_of_ms(edge.since_ms + _ms(SURE)))
        entries: list[Entry] = []
        older = 0
        while older < BACKFILL_POSTS:
            recents = await self._records.recents(
                [edge.user_id],
                after=after,
                before=before,
                limit=BACKFILL_POSTS,
            )
            for entry in recents[edge.user_id]:
                older += entry.post_id < followed
                if older <= BACKFILL_POSTS:
                    entries.append(entry)
            if len(recents[edge.user_id]) < BACKFILL_POSTS:
                break
            before = entries[-1].post_id
        return entries


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
