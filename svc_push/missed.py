"""Making good what was not heard of celebrities: their posts are asked for again.

Announcements may be lost, and nobody hears them for a reader who is away. The record
of svc_ingest tells what there is; logs and memory tell what was placed.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from chassis import ids
from chassis.clock import Clock

from .delivery import Delivery, may_hear
from .model import (
    Kind,
    OpenLog,
    Position,
    PostId,
    PostRecord,
    UserId,
    added,
    from_ms,
    removed,
)
from .ports import Graph, Posts, ReaderLogs

# What svc_ingest answers in one call.
AUTHORS, POSTS_OF_EACH, RECORDS = 500, 50, 1000

# Calls for the posts of one author: together more posts than a log holds.
ROUNDS = 24


class RecentPosts:
    """Asks for posts of many authors, as often as it takes."""

    def __init__(self, *, posts: Posts) -> None:
        self._posts = posts

    async def since(
        self, authors: Collection[UserId], after: PostId
    ) -> tuple[dict[PostId, UserId], PostId]:
        """All posts of the authors above an id, and the id they are complete from.

        That is the id asked for, unless an author wrote too much since.
        """
        found: dict[PostId, UserId] = {}
        floor = after
        everybody = sorted(authors)
        for start in range(0, len(everybody), AUTHORS):
            batch = everybody[start : start + AUTHORS]
            page = await self._page(batch, after, PostId(0))
            found.update(page)
            for author, oldest in _full(page):
                floor = max(floor, await self._rest(author, after, oldest, found))
        return found, floor

    async def records(self, posts: Iterable[PostId]) -> list[PostRecord]:
        """What is known of the posts, oldest first."""
        wanted = sorted(posts)
        records: list[PostRecord] = []
        for start in range(0, len(wanted), RECORDS):
            records += await self._posts.records(wanted[start : start + RECORDS])
        return sorted(records, key=lambda record: record.post_id)

    async def _rest(
        self, author: UserId, after: PostId, before: PostId, found: dict[PostId, UserId]
    ) -> PostId:
        for _ in range(ROUNDS):
            page = await self._page([author], after, before)
            found.update(page)
            if len(page) < POSTS_OF_EACH:
                return after
            before = min(post for post, _ in page)
        return before

    async def _page(
        self, authors: Sequence[UserId], after: PostId, before: PostId
    ) -> list[tuple[PostId, UserId]]:
        return await self._posts.recent(
            authors, after=after, before=before, limit=POSTS_OF_EACH
        )


class MissedPosts:
    """Places what one reader missed of the celebrities they follow."""

    def __init__(
        self,
        *,
        graph: Graph,
        recent: RecentPosts,
        logs: ReaderLogs,
        delivery: Delivery,
        clock: Clock,
        overlap: timedelta,
    ) -> None:
        """overlap: how much earlier than the last look a new one begins."""
        self._graph = graph
        self._recent = recent
        self._logs = logs
        self._delivery = delivery
        self._clock = clock
        self._overlap = overlap

    async def make_good(
        self, viewer: UserId, authors: Collection[UserId], log: OpenLog
    ) -> dict[PostId, UserId]:
        """Adds posts of the authors since the log was last complete.

        Removes those that the log holds and that are gone since. Answers the posts
        of the authors that the log holds now. Safe to repeat.
        """
        if not authors:
            return {}
        since = id_floor(from_ms(log.checked_ms) - self._overlap)
        logged = await self._logs.read(
            viewer, after=Position(log.head.epoch, log.floor), limit=log.size
        )
        # What last happened to each post of the authors, by the log.
        known = {
            entry.change.post_id: entry.change
            for entry in logged or ()
            if entry.change.kind.is_of_post and entry.change.author_id in authors
        }
        held = {
            post: change.author_id
            for post, change in known.items()
            if change.kind is Kind.POST_ADDED
        }
        after = min([since, *(PostId(post - 1) for post in held)])
        found, floor = await self._recent.since(authors, after)

        fresh = [post for post in found if post > since and post not in known]
        for record in await self._visible(viewer, fresh):
            change = added(record.post_id, record.author_id, record.version)
            await self._delivery.place([viewer], change)
            held[record.post_id] = record.author_id
        gone = [post for post in held if post > floor and post not in found]
        for post in gone:
            change = removed(post, held.pop(post), self._clock.now())
            await self._delivery.place([viewer], change)
        return held

    async def _visible(
        self, viewer: UserId, posts: Sequence[PostId]
    ) -> list[PostRecord]:
        """Those of the posts that the viewer may hear of."""
        if not posts:
            return []
        records = await self._recent.records(posts)
        visible = []
        for record in records:
            ties = await self._graph.ties(record.author_id, [viewer])
            if may_hear(record.visibility, ties.get(viewer)):
                visible.append(record)
        return visible


def id_floor(instant: datetime) -> PostId:
    """The largest id below all of the instant and later."""
    return PostId(max(0, ids.floor_of(instant) - 1))


def _full(page: Iterable[tuple[PostId, UserId]]) -> list[tuple[UserId, PostId]]:
    """Authors of whom there may be more, with their oldest post of the page."""
    by_author: defaultdict[UserId, list[PostId]] = defaultdict(list)
    for post, author in page:
        by_author[author].append(post)
    return [
        (author, min(posts))
        for author, posts in by_author.items()
        if len(posts) >= POSTS_OF_EACH
    ]
