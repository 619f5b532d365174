"""Counts follow their rows, in whatever order and however often events come."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feedmesh.ingest.v1 import events_pb2

from chassis.clock import SystemClock
from chassis.freshness import ChangeLog, RecentList, VersionedBytes
from chassis.ids import floor_of
from chassis.postgres import Pool, open_pool
from chassis.testing import database, valkey
from chassis.valkey import open_valkey

from svc_ingest import events
from svc_ingest.convert import stats_to_bytes
from svc_ingest.counters import Counters
from svc_ingest.hot import ValkeyHotPosts
from svc_ingest.model import Compared, PostId
from svc_ingest.reconciliation import Reconciliation
from svc_ingest.settings import IngestSettings
from svc_ingest.store_counts import PostgresTallies

POST = """
INSERT INTO post
    (post_id, author_id, visibility, reply_to, share_of, quote_of, version, body)
VALUES ($1, 1, 1, 0, 0, 0, 1, '')
"""
STORED = """
SELECT like_count, comment_count, share_count FROM post_stats WHERE post_id = $1
"""
PUT = {
    "like": """
        INSERT INTO post_like (post_id, user_id, like_id) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING RETURNING 1
    """,
    "share": """
        INSERT INTO share (original_id, user_id, post_id) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING RETURNING 1
    """,
    "comment": """
        INSERT INTO comment (post_id, author_id, comment_id, text)
        VALUES ($1, $2, $3, '') RETURNING 1
    """,
}
TAKE_BACK = {
    "like": "DELETE FROM post_like WHERE post_id = $1 AND user_id = $2 RETURNING 1",
    "share": "DELETE FROM share WHERE original_id = $1 AND user_id = $2 RETURNING 1",
    "comment": "DELETE FROM comment WHERE post_id = $1 AND author_id = $2 RETURNING 1",
}
CONSUMERS: dict[tuple[str, bool], Any] = {
    ("like", True): (events.CountLiked, events_pb2.PostLiked, "post_id"),
    ("like", False): (events.CountUnliked, events_pb2.PostUnliked, "post_id"),
    ("share", True): (events.CountShared, events_pb2.PostPublished, "share_of"),
    ("share", False): (events.CountUnshared, events_pb2.PostDeleted, "share_of"),
    ("comment", True): (events.CountCommented, events_pb2.CommentCreated, "post_id"),
    ("comment", False): (events.CountUncommented, events_pb2.CommentDeleted, "post_id"),
}

# A write: what, put in place or taken back, by whom, of which post; or the delivery of
# some event so far, perhaps once more.
Write = tuple[str, bool, int, int]
WRITES = st.tuples(
    st.sampled_from(sorted(PUT)), st.booleans(), st.integers(1, 3), st.integers(0, 1)
)
DELIVERIES = st.integers(0, 99)


class Counting(PostgresTallies):
    """Tallies between whose first and second look the counters come round."""

    is_busy = False

    async def compare(self, *, after: PostId, limit: int) -> Compared:
        found = await super().compare(after=after, limit=limit)
        if self.is_busy:
            await self.recount([drift.post_id for drift in found.drifts])
        return found


@dataclass
class Tables:
    """The tables and counters of svc_ingest, and a book of what should be there."""

    pool: Pool
    tallies: "Counting"
    hot: ValkeyHotPosts
    counters: Counters
    numbers: Any = field(
        default_factory=lambda: itertools.count(floor_of(SystemClock().now()))
    )

    async def run(self, steps: Sequence[Write | int], shuffled: Sequence[int]) -> None:
        """Writes and deliveries; at the end every event once more, backwards."""
        story = Story([next(self.numbers) for _ in range(2)])
        for post in story.posts:
            await self.pool.execute(POST, post)
        for step in steps:
            if isinstance(step, int):
                await self.deliver(story, step, times=1)
            else:
                await self.write(story, step)
        for number in shuffled:
            await self.deliver(story, number, times=10)
        for number in reversed(range(len(story.told))):
            await self.deliver(story, number, times=1)
        for post in story.posts:
            assert await stored(self.pool, post) == story.expected(post)

    async def write(self, story: "Story", write: Write) -> None:
        kind, is_put, person, which = write
        row = (story.posts[which], person)
        if is_put:
            changed = await self.pool.fetch(PUT[kind], *row, next(self.numbers))
        else:
            changed = await self.pool.fetch(TAKE_BACK[kind], *row)
        if changed:
            story.note(kind, row, is_put=is_put)

    async def deliver(self, story: "Story", number: int, *, times: int) -> None:
        """The event comes so many times in a batch; then the counts are the rows'."""
        if not story.told:
            return
        kind, is_put, post = story.told[number % len(story.told)]
        consumer, message, of = CONSUMERS[kind, is_put]
        batch = [message(**{of: post})] * times
        await consumer(counters=self.counters).handle_many(batch)
        assert await stored(self.pool, post) == story.expected(post)


@dataclass
class Story:
    """What was written, by the book, and the events that tell of it."""

    posts: list[int]
    told: list[tuple[str, bool, int]] = field(default_factory=list)
    rows: dict[str, list[tuple[int, int]]] = field(
        default_factory=lambda: {kind: [] for kind in PUT}
    )

    def note(self, kind: str, row: tuple[int, int], *, is_put: bool) -> None:
        if is_put:
            self.rows[kind].append(row)
        else:
            self.rows[kind] = [kept for kept in self.rows[kind] if kept != row]
        self.told.append((kind, is_put, row[0]))

    def expected(self, post: int) -> tuple[int, ...]:
        return tuple(
            sum(of == post for of, _ in self.rows[kind])
            for kind in ("like", "comment", "share")
        )


async def stored(pool: Pool, post: int) -> tuple[int, ...]:
    row = await pool.fetchrow(STORED, post)
    return tuple(row) if row else (0, 0, 0)


@asynccontextmanager
async def tables() -> AsyncIterator[Tables]:
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(database("svc_ingest"))
        pool = await stack.enter_async_context(open_pool(postgres))
        cache = await stack.enter_async_context(
            open_valkey(await stack.enter_async_context(valkey()))
        )
        hot = ValkeyHotPosts(
            valkey=cache,
            copies=VersionedBytes(cache),
            own=RecentList(cache),
            changes=ChangeLog(cache),
            encode_stats=stats_to_bytes,
            ttl=IngestSettings().copy_ttl,
        )
        tallies = Counting(pool=pool)
        yield Tables(pool, tallies, hot, Counters(tallies=tallies, hot=hot))


def test_counts_follow_the_rows_in_any_order_of_events() -> None:
    """Ten times the same event, an unlike before its like: never below zero."""
    with asyncio.Runner() as runner:
        opened = tables()
        it = runner.run(opened.__aenter__())
        try:

            @settings(max_examples=40, deadline=None, derandomize=True)
            @given(
                st.lists(WRITES | DELIVERIES, max_size=14),
                st.lists(DELIVERIES, max_size=5),
            )
            def holds(steps: list[Write | int], shuffled: list[int]) -> None:
                runner.run(it.run(steps, shuffled))

            holds()
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def test_a_count_that_is_under_way_is_no_drift() -> None:
    """A report at a busy hour would otherwise never be empty."""
    async with tables() as it:
        looks = Reconciliation(
            tallies=it.tallies, hot=it.hot, grace=timedelta(milliseconds=1)
        )
        post = next(it.numbers)
        await it.pool.execute(POST, post)
        await it.pool.fetch(PUT["like"], post, 1, next(it.numbers))
        stands = await looks.check(after=PostId(0), size=9)
        it.tallies.is_busy = True
        passes = await looks.check(after=PostId(0), size=9)

        assert [drift.counted for drift in stands.drifts] == [1]
        assert passes.drifts == []
