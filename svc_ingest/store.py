"""Reads of posts with their counts and what a viewer did."""

from collections.abc import Sequence

import asyncpg

from chassis.postgres import Pool

from domain.visibility import PostFacts, Visibility

from .model import Actions, PostId, Record, Stats, StoredPost, UserId

# One statement a batch. The order asked for is made by the caller.
FIND = """
SELECT p.post_id, p.author_id, p.visibility, p.reply_to, p.share_of, p.quote_of,
       p.version, p.body,
       s.like_count, s.comment_count, s.share_count, s.version AS stats_version,
       l.user_id IS NOT NULL AS liked, h.user_id IS NOT NULL AS shared,
       o.author_id AS original_author, o.visibility AS original_visibility
FROM post p
LEFT JOIN post_stats s ON s.post_id = p.post_id
LEFT JOIN post_like l ON l.post_id = p.post_id AND l.user_id = $2
LEFT JOIN share h ON h.original_id = p.post_id AND h.user_id = $2
LEFT JOIN post o ON p.share_of <> 0 AND o.post_id = p.share_of
WHERE p.post_id = ANY($1::bigint[])
"""

FACTS = """
SELECT post_id, author_id, visibility, share_of FROM post
WHERE post_id = ANY($1::bigint[])
"""

BY_AUTHOR = """
SELECT post_id FROM post
WHERE author_id = $1 AND post_id < $2
ORDER BY post_id DESC
LIMIT $3
"""

# The author index answers each author's newest without looking at the others.
RECENT = """
SELECT newest.post_id, author_id
FROM unnest($1::bigint[]) AS author (author_id)
CROSS JOIN LATERAL (
    SELECT post.post_id FROM post
    WHERE post.author_id = author.author_id
      AND post.post_id > $2 AND post.post_id < $3
    ORDER BY post.post_id DESC
    LIMIT $4
) AS newest
ORDER BY newest.post_id DESC
"""

DELETED_BY = """
SELECT EXISTS (SELECT 1 FROM deleted_post WHERE post_id = $1 AND author_id = $2)
"""


class PostgresPosts:
    """StoredPosts on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def find(
        self, post_ids: Sequence[PostId], *, viewer: UserId
    ) -> dict[PostId, Record]:
        rows = await self._pool.fetch(FIND, list(post_ids), viewer)
        return {PostId(row["post_id"]): record_of(row) for row in rows}

    async def facts(self, post_ids: Sequence[PostId]) -> dict[PostId, PostFacts]:
        rows = await self._pool.fetch(FACTS, list(post_ids))
        return {
            PostId(row["post_id"]): PostFacts(
                post_id=row["post_id"],
                author_id=row["author_id"],
                visibility=row["visibility"],
                share_of=row["share_of"],
            )
            for row in rows
        }

    async def by_author(
        self, author: UserId, *, viewer: UserId, before: int, limit: int
    ) -> list[Record]:
        rows = await self._pool.fetch(BY_AUTHOR, author, before, limit)
        ids = [PostId(row["post_id"]) for row in rows]
        found = await self.find(ids, viewer=viewer) if ids else {}
        return [found[post_id] for post_id in ids if post_id in found]

    async def recent(
        self, authors: Sequence[UserId], *, after: int, before: int, limit: int
    ) -> list[tuple[PostId, UserId]]:
        rows = await self._pool.fetch(RECENT, list(authors), after, before, limit)
        return [(PostId(row["post_id"]), UserId(row["author_id"])) for row in rows]

    async def was_deleted_by(self, author: UserId, post_id: PostId) -> bool:
        return bool(await self._pool.fetchval(DELETED_BY, post_id, author))


def post_of(row: asyncpg.Record) -> StoredPost:
    """A row of post."""
    return StoredPost(
        post_id=PostId(row["post_id"]),
        author_id=UserId(row["author_id"]),
        visibility=Visibility(row["visibility"]),
        reply_to=PostId(row["reply_to"]),
        share_of=PostId(row["share_of"]),
        quote_of=PostId(row["quote_of"]),
        version=row["version"],
        body=row["body"],
    )


def record_of(row: asyncpg.Record) -> Record:
    """A row of FIND."""
    original = None
    if row["original_author"] is not None:
        original = PostFacts(
            post_id=row["share_of"],
            author_id=row["original_author"],
            visibility=row["original_visibility"],
        )
    return Record(
        post=post_of(row),
        stats=Stats(
            likes=row["like_count"] or 0,
            comments=row["comment_count"] or 0,
            shares=row["share_count"] or 0,
            version=row["stats_version"] or 0,
        ),
        actions=Actions(liked=row["liked"], shared=row["shared"]),
        original=original,
    )
