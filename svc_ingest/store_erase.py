"""The erasure of one person, in bounded steps."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from google.protobuf.message import Message

from feedmesh.ingest.v1.events_pb2 import CommentDeleted, PostUnliked

from chassis.ids import Ids
from chassis.outbox import Draft, Outbox
from chassis.postgres import Pool, Statements

from .model import PostId, UserId
from .ports import HotPosts
from .store_change import announce, settle
from .store_delete import LOCK, Deletion

POSTS = "SELECT post_id FROM post WHERE author_id = $1 ORDER BY post_id LIMIT $2"

COMMENTS = """
DELETE FROM comment WHERE comment_id IN
    (SELECT comment_id FROM comment WHERE author_id = $1 LIMIT $2)
RETURNING comment_id, post_id, author_id
"""

LIKES = """
DELETE FROM post_like l WHERE l.user_id = $1 AND l.post_id IN
    (SELECT post_id FROM post_like WHERE user_id = $1 LIMIT $2)
RETURNING l.post_id, l.user_id,
    coalesce((SELECT author_id FROM post p WHERE p.post_id = l.post_id), 0) AS author_id
"""

# What is left when all else is gone: nothing that others would have to hear of.
REST = (
    "DELETE FROM share WHERE user_id = $1",
    "DELETE FROM viewer_version WHERE user_id = $1",
    "DELETE FROM request_record WHERE caller_id = $1",
)


FORGET = """
DELETE FROM deleted_post WHERE post_id IN
    (SELECT post_id FROM deleted_post WHERE deleted_at < $1 LIMIT 1000)
RETURNING post_id
"""


class PostgresPersonalData:
    """PersonalData on Postgres: posts first, then comments, then likes."""

    def __init__(self, *, pool: Pool, outbox: Outbox, hot: HotPosts, ids: Ids) -> None:
        self._pool = pool
        self._outbox = outbox
        self._hot = hot
        self._ids = ids

    async def erase_some(self, person: UserId, *, limit: int) -> int:
        deletion = Deletion(outbox=self._outbox)
        async with self._pool.transaction() as tx:
            gone = await self._posts(tx, person, limit, deletion)
            if gone < limit:
                gone += await self._reactions(tx, person, limit - gone)
            if not gone:
                for sql in REST:
                    await tx.execute(sql, person)
        if gone:
            self._outbox.wake()
        await settle(self._pool, self._outbox, self._hot, deletion)
        return gone

    async def _posts(
        self, tx: Statements, person: UserId, limit: int, deletion: Deletion
    ) -> int:
        rows = await tx.fetch(POSTS, person, limit)
        posts = [PostId(row["post_id"]) for row in rows]
        if posts:
            await tx.fetch(LOCK, posts)
            await deletion.run(tx, posts)
            await announce(self._hot, deletion)
        return len(posts)

    async def _reactions(self, tx: Statements, person: UserId, limit: int) -> int:
        comments = await tx.fetch(COMMENTS, person, limit)
        await self._outbox.append_all(tx, self._events(comments, CommentDeleted))
        likes: list[asyncpg.Record] = []
        if len(comments) < limit:
            likes = await tx.fetch(LIKES, person, limit - len(comments))
            await self._outbox.append_all(tx, self._events(likes, PostUnliked))
        return len(comments) + len(likes)

    def _events(
        self, rows: Sequence[asyncpg.Record], kind: type[Message]
    ) -> list[Draft]:
        """One event a row: columns are named as its fields, the aggregate is first."""
        return [
            Draft(
                kind(**dict(row)),
                aggregate_id=row[0],
                version=self._ids.next(),
            )
            for row in rows
        ]


class PostgresTombstones:
    """Tombstones on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def forget(self, before: datetime) -> None:
        while await self._pool.fetch(FORGET, before):
            pass
