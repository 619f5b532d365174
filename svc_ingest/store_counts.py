"""The post_stats table: counts, made by counting."""

from collections.abc import Iterator, Sequence

import asyncpg

from chassis.postgres import Pool, Statements

from . import store_audit
from .model import Compared, Drift, PostId, Stats

# Held until the commit, so that no post is deleted before its counts are placed.
THERE = """
SELECT post_id FROM post WHERE post_id = ANY($1::bigint[])
ORDER BY post_id
FOR KEY SHARE
"""

PLACE = """
INSERT INTO post_stats (post_id)
SELECT post_id FROM unnest($1::bigint[]) AS post_id
ORDER BY post_id
ON CONFLICT (post_id) DO NOTHING
"""

# Whoever counts after another has waited here, and so sees what the other saw.
LOCK = """
SELECT post_id, like_count, comment_count, share_count FROM post_stats
WHERE post_id = ANY($1::bigint[])
ORDER BY post_id
FOR UPDATE
"""

COUNT = """
UPDATE post_stats s SET
    like_count = (SELECT count(*) FROM post_like l WHERE l.post_id = s.post_id),
    comment_count = (SELECT count(*) FROM comment c WHERE c.post_id = s.post_id),
    share_count = (SELECT count(*) FROM share h WHERE h.original_id = s.post_id),
    version = s.version + 1
WHERE s.post_id = ANY($1::bigint[])
RETURNING s.post_id, s.like_count, s.comment_count, s.share_count, s.version
"""

# Counts and rows of one snapshot; $3 is of whom, NULL for all.
COMPARE = """
SELECT p.post_id,
    coalesce(s.like_count, 0), coalesce(s.comment_count, 0),
    coalesce(s.share_count, 0),
    (SELECT count(*) FROM post_like l WHERE l.post_id = p.post_id),
    (SELECT count(*) FROM comment c WHERE c.post_id = p.post_id),
    (SELECT count(*) FROM share h WHERE h.original_id = p.post_id)
FROM (
    SELECT post_id FROM post
    WHERE post_id > $1 AND ($3::bigint[] IS NULL OR post_id = ANY($3))
    ORDER BY post_id
    LIMIT $2
) AS p
LEFT JOIN post_stats s ON s.post_id = p.post_id
ORDER BY p.post_id
"""

COUNTERS = ("like_count", "comment_count", "share_count")


class PostgresTallies:
    """Tallies on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def recount(self, post_ids: Sequence[PostId]) -> dict[PostId, Stats]:
        async with self._pool.transaction() as tx:
            _, rows = await _recount(tx, post_ids)
        return _stats(rows)

    async def compare(self, *, after: PostId, limit: int) -> Compared:
        rows = await self._pool.fetch(COMPARE, after, limit, None)
        last = PostId(rows[-1][0]) if rows else after
        return Compared(len(rows), last, list(_compared(rows)))

    async def compare_these(self, post_ids: Sequence[PostId]) -> list[Drift]:
        wanted = sorted(set(post_ids))
        rows = await self._pool.fetch(COMPARE, 0, len(wanted), wanted)
        return list(_compared(rows))

    async def repair(
        self, post_ids: Sequence[PostId]
    ) -> tuple[list[Drift], dict[PostId, Stats]]:
        async with self._pool.transaction() as tx:
            before, rows = await _recount(tx, post_ids)
            drifts = list(_changed(before, rows))
            if drifts:
                repaired = sorted({drift.post_id for drift in drifts})
                target = ",".join(map(str, repaired))
                await store_audit.record(tx, "counters.repair", target)
        return drifts, _stats(rows)


async def _recount(
    tx: Statements, post_ids: Sequence[PostId]
) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """What was stored, and what is stored now."""
    there = [row[0] for row in await tx.fetch(THERE, sorted(set(post_ids)))]
    await tx.execute(PLACE, there)
    before = await tx.fetch(LOCK, there)
    # A statement of its own: it sees all that is committed when it starts.
    return before, await tx.fetch(COUNT, there)


def _stats(rows: Sequence[asyncpg.Record]) -> dict[PostId, Stats]:
    return {
        PostId(row["post_id"]): Stats(
            likes=row["like_count"],
            comments=row["comment_count"],
            shares=row["share_count"],
            version=row["version"],
        )
        for row in rows
    }


def _compared(rows: Sequence[asyncpg.Record]) -> Iterator[Drift]:
    for row in rows:
        yield from _drifts(row[0], row[1:4], row[4:7])


def _changed(
    before: Sequence[asyncpg.Record], rows: Sequence[asyncpg.Record]
) -> Iterator[Drift]:
    counted = {row[0]: row[1:4] for row in rows}
    for row in before:
        yield from _drifts(row[0], row[1:4], counted[row[0]])


def _drifts(
    post_id: int, stored: Sequence[int], counted: Sequence[int]
) -> Iterator[Drift]:
    for name, was, is_now in zip(COUNTERS, stored, counted, strict=True):
        if was != is_now:
            yield Drift(PostId(post_id), name, was, is_now)
