"""What happens to feeds when people post and delete posts.

A large audience is cut into parts: a part is placed, what is left is appended to the
outbox, and the event is acknowledged. So a worker that dies goes on with the part it
was at, and each part queues behind what came meanwhile. Every method may be repeated:
redelivery of its event changes nothing more. The index is written first, then the hot
feeds; a failure in between is cured by redelivery.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from .model import BELOW_ALL, Entry, Placed, UserId
from .ports import Continuations, FanOutWatch, FeedIndex, Graph, HotFeeds

NOBODY = UserId(BELOW_ALL)


@dataclass(slots=True)
class _Progress:
    """How far one part of a fan-out came."""

    last: UserId = NOBODY
    rows: int = 0
    passed_over: int = 0
    is_last: bool = True

    @property
    def placed(self) -> Placed:
        return Placed(self.rows, self.passed_over, self.is_last)


class FeedFanOut:
    """Places posts in the feeds of those who follow their author."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        graph: Graph,
        continuations: Continuations,
        watch: FanOutWatch,
        in_flight: int,
        part: int,
    ) -> None:
        """`in_flight`: pages of followers written at the same time, for all posts.

        `part`: followers of one author who are served before others have their turn.
        """
        self._index = index
        self._hot_feeds = hot_feeds
        self._graph = graph
        self._continuations = continuations
        self._watch = watch
        # First come, first served, a page each: no post waits for all of another.
        self._permits = asyncio.Semaphore(in_flight)
        self._part = part

    async def place(self, entry: Entry, *, for_author_alone: bool) -> None:
        """Places a post in its author's feed, and with the first of their followers.

        Posts of authors who are not fanned out are placed with the author alone:
        readers pull them. That is decided here once; what of the audience is left
        when the author's reach changes is served all the same.
        """
        done = _Progress()
        if not for_author_alone and await self._is_wide(entry.author_id):
            await self._serve(entry, done, own=[entry.author_id])
        else:
            await self._place([entry.author_id], entry, done)
        self._watch.placed(entry.post_id, done.placed)

    async def go_on(self, entry: Entry, *, after: UserId) -> None:
        """Places a post with the next of its author's followers."""
        done = _Progress(last=after)
        await self._serve(entry, done, own=[])
        self._watch.placed(entry.post_id, done.placed)

    async def withdraw(self, entry: Entry) -> None:
        """Takes a deleted post out of the index.

        Tidying up, no more: a deleted post is not shown whatever the index says, so
        neither hot feeds nor feeds of people who unfollowed since are searched.
        """
        author = entry.author_id
        await self._index.remove_post([author], entry.post_id)
        if await self._is_wide(author):
            async with aclosing(self._graph.followers(author, after=NOBODY)) as pages:
                async for page in pages:
                    await self._index.remove_post(page, entry.post_id)

    async def _is_wide(self, author: UserId) -> bool:
        reach = await self._graph.reach(author)
        return reach.is_fanned_out and reach.follower_count > 0

    async def _serve(self, entry: Entry, done: _Progress, *, own: list[UserId]) -> None:
        """One part of the followers after `done.last`, and the author first.

        What is left after them goes to the outbox.
        """
        left = self._part
        try:
            async with (
                asyncio.TaskGroup() as group,
                aclosing(
                    self._graph.followers(entry.author_id, after=done.last)
                ) as pages,
            ):
                async for page in pages:
                    some = page[:left]
                    await self._start(group, own + some, entry, done)
                    own, done.last = [], some[-1]
                    left -= len(some)
                    if not left:
                        break
                if own:
                    await self._start(group, own, entry, done)
        except ExceptionGroup as failures:
            # One reason will do: the event comes again as a whole.
            raise failures.exceptions[0] from failures
        if not left:
            await self._continuations.fan_out(entry, after=done.last)
            done.is_last = False

    async def _start(
        self,
        group: asyncio.TaskGroup,
        viewers: list[UserId],
        entry: Entry,
        done: _Progress,
    ) -> None:
        await self._permits.acquire()
        task = group.create_task(self._place(viewers, entry, done))
        task.add_done_callback(lambda _: self._permits.release())

    async def _place(
        self, viewers: list[UserId], entry: Entry, done: _Progress
    ) -> None:
        rows = await self._index.add(viewers, entry)
        await self._hot_feeds.append(viewers, entry)
        done.rows += rows
        done.passed_over += len(viewers) - rows
