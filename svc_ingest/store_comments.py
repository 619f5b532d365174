"""Comments under posts."""

import asyncpg

from feedmesh.ingest.v1.events_pb2 import CommentCreated, CommentDeleted

from chassis.errors import NotFound
from chassis.idempotency import RequestRecords
from chassis.outbox import Outbox
from chassis.postgres import Pool, Statements

from . import store_audit, store_requests
from .model import Comment, CommentId, PostId, RequestKey, UserId

INSERT = """
INSERT INTO comment (comment_id, post_id, author_id, text)
SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM post WHERE post_id = $2)
RETURNING comment_id
"""

FIND = """
SELECT comment_id, post_id, author_id, text FROM comment WHERE comment_id = $1
"""

UNDER = """
SELECT comment_id, post_id, author_id, text FROM comment
WHERE post_id = $1 AND comment_id < $2
ORDER BY comment_id DESC
LIMIT $3
"""

DELETE = "DELETE FROM comment WHERE comment_id = $1 RETURNING comment_id"


class PostgresComments:
    """Comments on Postgres."""

    def __init__(self, *, pool: Pool, outbox: Outbox, requests: RequestRecords) -> None:
        self._pool = pool
        self._outbox = outbox
        self._requests = requests

    async def add(
        self, comment: Comment, *, request: RequestKey | None
    ) -> tuple[Comment, bool]:
        async with self._pool.transaction() as tx:
            if request is not None:
                kept = await self._claim(tx, request)
                if kept is not None:
                    return await _kept(tx, kept), True
            added = await tx.fetchval(
                INSERT,
                comment.comment_id,
                comment.post_id,
                comment.author_id,
                comment.text,
            )
            if added is None:
                raise NotFound("POST_NOT_FOUND")
            await self._keep(tx, request, comment.comment_id)
            await store_audit.record_acting(tx, "comment.create", comment.comment_id)
            event = CommentCreated(
                comment_id=comment.comment_id,
                post_id=comment.post_id,
                author_id=comment.author_id,
            )
            await self._outbox.append(
                tx, event, aggregate_id=comment.comment_id, version=1
            )
        self._outbox.wake()
        return comment, False

    async def replay(self, request: RequestKey) -> Comment | None:
        kept = await store_requests.earlier(self._pool, request)
        return None if kept is None else await _kept(self._pool, kept)

    async def find(self, comment_id: CommentId) -> Comment | None:
        return await _find(self._pool, comment_id)

    async def under(self, post_id: PostId, *, before: int, limit: int) -> list[Comment]:
        rows = await self._pool.fetch(UNDER, post_id, before, limit)
        return [_comment_of(row) for row in rows]

    async def delete(
        self, comment: Comment, *, by: UserId, request: RequestKey | None
    ) -> None:
        async with self._pool.transaction() as tx:
            if request is not None and await self._claim(tx, request) is not None:
                return
            await self._keep(tx, request, comment.comment_id)
            if await tx.fetchval(DELETE, comment.comment_id) is None:
                return
            await store_audit.record_acting(tx, "comment.delete", comment.comment_id)
            event = CommentDeleted(
                comment_id=comment.comment_id,
                post_id=comment.post_id,
                author_id=comment.author_id,
            )
            await self._outbox.append(
                tx, event, aggregate_id=comment.comment_id, version=2
            )
        self._outbox.wake()

    async def was_deleted(self, request: RequestKey) -> bool:
        return await store_requests.earlier(self._pool, request) is not None

    async def _claim(self, tx: Statements, request: RequestKey) -> bytes | None:
        return await self._requests.claim(
            tx,
            caller=request.caller,
            method=request.method,
            key=request.key,
            digest=request.digest,
        )

    async def _keep(
        self, tx: Statements, request: RequestKey | None, comment_id: CommentId
    ) -> None:
        # The id alone: a comment that is deleted is not kept here.
        if request is not None:
            await self._requests.keep(
                tx,
                caller=request.caller,
                method=request.method,
                key=request.key,
                response=store_requests.packed(comment_id),
            )


async def _kept(statements: Statements, kept: bytes) -> Comment:
    comment = await _find(statements, CommentId(store_requests.unpacked(kept)))
    if comment is None:
        raise NotFound("COMMENT_NOT_FOUND")
    return comment


async def _find(statements: Statements, comment_id: CommentId) -> Comment | None:
    row = await statements.fetchrow(FIND, comment_id)
    return _comment_of(row) if row else None


def _comment_of(row: asyncpg.Record) -> Comment:
    return Comment(
        comment_id=CommentId(row["comment_id"]),
        post_id=PostId(row["post_id"]),
        author_id=UserId(row["author_id"]),
        text=row["text"],
    )
