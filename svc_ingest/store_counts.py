"""The post_stats table: counts, made by counting."""

from collections.abc import Sequence

from chassis.postgres import Pool

from .model import PostId, Stats

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
SELECT post_id FROM post_stats WHERE post_id = ANY($1::bigint[])
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


class PostgresTallies:
    """Tallies on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def recount(self, post_ids: Sequence[PostId]) -> dict[PostId, Stats]:
        async with self._pool.transaction() as tx:
            there = [row[0] for row in await tx.fetch(THERE, sorted(set(post_ids)))]
            await tx.execute(PLACE, there)
            await tx.fetch(LOCK, there)
            # A statement of its own: it sees all that is committed when it starts.
            rows = await tx.fetch(COUNT, there)
        return {
            PostId(row["post_id"]): Stats(
                likes=row["like_count"],
                comments=row["comment_count"],
                shares=row["share_count"],
                version=row["version"],
            )
            for row in rows
        }
