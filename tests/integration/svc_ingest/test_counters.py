"""Counts that are wrong are found and put right; nobody waits for a count."""

import asyncio
from typing import Any

from feedmesh.ingest.v1 import post_pb2

from chassis.errors import PermissionDenied
from chassis.freshness import VersionedBytes
from chassis.postgres import Pool
from chassis.testing import eventually, refuses

from tests.support.ingest import IngestRoom, acting, ingest_room

PLANT = "UPDATE post_stats SET like_count = 7, share_count = 2 WHERE post_id = $1"
STORED = """
SELECT like_count, comment_count, share_count FROM post_stats WHERE post_id = $1
"""

Drift = tuple[int, str, int, int]


async def reconcile(
    room: IngestRoom, **fields: Any
) -> post_pb2.ReconcileCountersResponse:
    return await room.internal.ReconcileCounters(
        post_pb2.ReconcileCountersRequest(**fields)
    )


def drifts(answer: post_pb2.ReconcileCountersResponse) -> list[Drift]:
    return [(d.post_id, d.counter, d.stored, d.counted) for d in answer.drifts]


async def stored(pool: Pool, post: int) -> tuple[int, ...]:
    row = await pool.fetchrow(STORED, post)
    return tuple(row) if row else (0, 0, 0)


async def copied_likes(room: IngestRoom, post: int) -> int:
    """Likes as svc_feed finds them."""
    body = VersionedBytes.parse(await room.valkey.get(f"s:{post}"))
    return -1 if body is None else post_pb2.PostStats.FromString(body).like_count


async def counted(room: IngestRoom, post: int, expected: tuple[int, ...]) -> None:
    """Waits until the counters have handled what there is."""

    async def is_counted() -> None:
        assert await stored(room.pool, post) == expected

    await eventually(is_counted)


async def test_a_drift_is_reported_and_left_alone() -> None:
    """Looking changes nothing, neither the counts nor the trail."""
    async with ingest_room(count_grace=0.05) as room:
        ann, bob = room.people(2)
        posts = [await room.post(ann) for _ in range(3)]
        await room.like(bob, posts[1])
        await counted(room, posts[1], (1, 0, 0))
        await room.pool.execute(PLANT, posts[1])
        answer = await reconcile(room)

        assert drifts(answer) == [
            (posts[1], "like_count", 7, 1),
            (posts[1], "share_count", 2, 0),
        ]
        assert (answer.checked_count, answer.last_post_id) == (3, 0)
        assert await stored(room.pool, posts[1]) == (7, 0, 2)
        assert await audited(room) == []


async def test_a_repair_puts_counts_and_copies_right() -> None:
    """Told and audited once; the next look finds nothing."""
    async with ingest_room(count_grace=0.05) as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        await room.like(bob, post)
        await counted(room, post, (1, 0, 0))
        await room.pool.execute(PLANT, post)
        answer = await reconcile(room, repair=True)
        again = await reconcile(room, repair=True)

        assert len(answer.drifts) == 2
        assert await stored(room.pool, post) == (1, 0, 0)
        assert await copied_likes(room, post) == 1
        assert (await room.get(bob, post)).stats.like_count == 1
        assert drifts(again) == []
        assert await audited(room) == [("service:test", str(post))]


async def test_a_post_whose_counts_are_not_kept_is_a_drift() -> None:
    """Its likes are there, and readers are told of none."""
    async with ingest_room(count_grace=0.05) as room:
        ann, bob = room.people(2)
        post = await room.post(ann)
        await room.like(bob, post)
        await counted(room, post, (1, 0, 0))
        await room.pool.execute("DELETE FROM post_stats WHERE post_id = $1", post)
        found = await reconcile(room)
        await reconcile(room, repair=True)

        assert drifts(found) == [(post, "like_count", 0, 1)]
        assert await stored(room.pool, post) == (1, 0, 0)


async def test_pages_cover_every_post_once() -> None:
    """By the last id, and to an end that says so."""
    async with ingest_room(count_grace=0) as room:
        [ann] = room.people(1)
        posts = [await room.post(ann) for _ in range(5)]
        for post in posts:
            await room.pool.execute(
                "INSERT INTO post_stats (post_id, like_count) VALUES ($1, 9)", post
            )
        seen, sizes, after = [], [], 0
        while True:
            answer = await reconcile(room, after_post_id=after, page_size=2)
            seen += [drift.post_id for drift in answer.drifts]
            sizes.append(answer.checked_count)
            after = answer.last_post_id
            if not after:
                break

        assert seen == posts
        assert sizes == [2, 2, 1]


async def test_likes_during_a_repair_end_exact() -> None:
    """Whoever counts later counts what the other counted, too."""
    async with ingest_room(count_grace=0) as room:
        ann, *people = room.people(41)
        post = await room.post(ann)
        await room.pool.execute(
            "INSERT INTO post_stats (post_id, like_count) VALUES ($1, 1000)", post
        )

        async def repair() -> None:
            for _ in range(10):
                await reconcile(room, repair=True)

        async with asyncio.TaskGroup() as group:
            group.create_task(repair())
            for person in people:
                group.create_task(room.like(person, post))
        await counted(room, post, (40, 0, 0))
        assert drifts(await reconcile(room)) == []


async def test_people_may_not_reconcile() -> None:
    """It is for operators."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        with acting(ann), refuses(PermissionDenied, "AUDIENCE_DENIED"):
            await room.posts.ReconcileCounters(post_pb2.ReconcileCountersRequest())


async def test_a_like_waits_for_no_counter() -> None:
    """Many like one post at once: none of them needs the row that counts them."""
    async with ingest_room() as room:
        ann, *people = room.people(9)
        post = await room.post(ann)
        await room.like(people[0], post)
        await counted(room, post, (1, 0, 0))
        async with room.pool.transaction() as tx:
            await tx.fetch(
                "SELECT 1 FROM post_stats WHERE post_id = $1 FOR UPDATE", post
            )
            async with asyncio.timeout(2), asyncio.TaskGroup() as group:
                for person in people[1:]:
                    group.create_task(room.like(person, post))
            likes = await tx.fetchval("SELECT count(*) FROM post_like")

            assert likes == 8
            assert await stored(room.pool, post) == (1, 0, 0)
        await counted(room, post, (8, 0, 0))


async def audited(room: IngestRoom) -> list[tuple[str, str]]:
    rows = await room.pool.fetch(
        "SELECT who, target FROM audit WHERE what = 'counters.repair'"
    )
    return [(row["who"], row["target"]) for row in rows]
