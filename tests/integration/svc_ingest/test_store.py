"""What the tables are like, and what two transactions do to each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.clock import SystemClock
from chassis.ids import floor_of
from chassis.postgres import Pool, open_pool
from chassis.testing import database, eventually

from svc_ingest.model import PostId
from svc_ingest.store_counts import PostgresTallies

POST = """
INSERT INTO post
    (post_id, author_id, visibility, reply_to, share_of, quote_of, version, body)
VALUES ($1, 1, 1, 0, 0, 0, 1, '')
"""
LIKE = "INSERT INTO post_like (post_id, user_id, like_id) VALUES ($1, $2, $2)"


@asynccontextmanager
async def a_pool() -> AsyncIterator[Pool]:
    async with database("svc_ingest") as settings, open_pool(settings) as pool:
        yield pool


async def test_posts_and_comments_are_cut_by_time() -> None:
    """Partitions of now and of what comes are there before the first post."""
    async with a_pool() as pool:
        for table in ("post", "comment", "outbox"):
            partitions = await pool.fetchval(
                "SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass($1)",
                table,
            )
            assert partitions >= 3, table
        await pool.execute(POST, floor_of(SystemClock().now()))

        found = await pool.fetchval("SELECT tableoid::regclass::text FROM post")
        assert found.startswith("post_y")


async def test_the_later_of_two_recounts_holds() -> None:
    """A recount that began before a like waits, and then counts it too."""
    async with a_pool() as pool:
        tallies = PostgresTallies(pool=pool)
        post = PostId(floor_of(SystemClock().now()))
        await pool.execute(POST, post)
        await tallies.recount([post])
        async with pool.transaction() as tx:
            await tx.fetch("SELECT 1 FROM post_stats FOR UPDATE")
            early = asyncio.get_running_loop().create_task(tallies.recount([post]))
            await _is_waiting(pool)
            await tx.execute(LIKE, post, 7)
        stats = (await early)[post]

        assert (stats.likes, stats.version) == (1, 2)


async def test_parallel_likes_and_recounts_converge() -> None:
    """However they interleave, the last count is that of the rows."""
    async with a_pool() as pool:
        tallies = PostgresTallies(pool=pool)
        posts = [PostId(floor_of(SystemClock().now()) + n) for n in range(3)]
        for post in posts:
            await pool.execute(POST, post)

        async def like(user: int) -> None:
            await pool.execute(LIKE, posts[user % 3], user)
            await tallies.recount(posts[:: 1 if user % 2 else -1])

        for start in range(0, 30, 10):
            await asyncio.gather(*(like(user) for user in range(start, start + 10)))
        rows = await pool.fetch("SELECT like_count FROM post_stats")

        assert [row[0] for row in rows] == [10, 10, 10]


async def _is_waiting(pool: Pool) -> None:
    """Returns when some statement waits for a row."""

    async def one_waits() -> None:
        assert await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")

    await eventually(one_waits)
