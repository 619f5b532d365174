"""Edits and deletes of posts, each one transaction with its event."""

from collections.abc import Callable, Sequence

import asyncpg

from feedmesh.ingest.v1.events_pb2 import PostUpdated

from chassis.errors import NotFound
from chassis.idempotency import RequestRecords
from chassis.outbox import Outbox
from chassis.postgres import Pool, Statements

from . import store_audit, store_did
from .model import PostId, RequestKey, StoredPost
from .ports import HotPosts
from .store import post_of
from .store_delete import LOCK, Deletion

# Waits for shares of the post under way, but not for a recount.
LOCK_ONE = """
SELECT post_id, author_id, visibility, reply_to, share_of, quote_of, version, body
FROM post WHERE post_id = $1
FOR NO KEY UPDATE
"""

UPDATE = """
UPDATE post SET visibility = $2, version = $3, body = $4 WHERE post_id = $1
"""

IS_THERE = "SELECT EXISTS (SELECT 1 FROM post WHERE post_id = $1)"

SHARES_OF = """
SELECT post_id FROM share WHERE original_id = $1 ORDER BY post_id LIMIT $2
"""

# Also those whose post had been deleted without them.
FORGET_SHARES = """
DELETE FROM share WHERE original_id = $1 AND post_id = ANY($2::bigint[])
"""

LIKES_OF = """
DELETE FROM post_like WHERE post_id = $1 AND user_id IN
    (SELECT user_id FROM post_like WHERE post_id = $1 LIMIT $2)
RETURNING user_id
"""

COMMENTS_OF = """
DELETE FROM comment WHERE comment_id IN
    (SELECT comment_id FROM comment WHERE post_id = $1 LIMIT $2)
RETURNING comment_id
"""


class PostgresChanges:
    """PostChanges on Postgres."""

    def __init__(
        self, *, pool: Pool, outbox: Outbox, requests: RequestRecords, hot: HotPosts
    ) -> None:
        self._pool = pool
        self._outbox = outbox
        self._requests = requests
        self._hot = hot

    async def edit(
        self,
        post_id: PostId,
        rewrite: Callable[[StoredPost], StoredPost],
        *,
        request: RequestKey | None,
    ) -> StoredPost:
        async with self._pool.transaction() as tx:
            is_replay = request is not None and await self._claim(tx, request)
            old = _found(await tx.fetch(LOCK_ONE, post_id))
            new = old if is_replay else rewrite(old)
            if request is not None and not is_replay:
                await self._keep(tx, request)
            if new is not old:
                await self._store(tx, new, before=old)
        if new is not old:
            self._outbox.wake()
            await self._hot.changed(new)
        return new

    async def delete(
        self, post_id: PostId, check: Callable[[StoredPost], None]
    ) -> None:
        deletion = Deletion(outbox=self._outbox)
        async with self._pool.transaction() as tx:
            check(_found(await tx.fetch(LOCK, [post_id])))
            await deletion.run(tx, [post_id])
            await store_audit.record(tx, "post.delete", post_id)
            await announce(self._hot, deletion)
        await settle(self._pool, self._outbox, self._hot, deletion)

    async def erase_traces(self, post_id: PostId, *, limit: int) -> int:
        deletion = Deletion(outbox=self._outbox)
        async with self._pool.transaction() as tx:
            if await tx.fetchval(IS_THERE, post_id):
                return 0
            rows = await tx.fetch(SHARES_OF, post_id, limit)
            if rows:
                shares = [PostId(row["post_id"]) for row in rows]
                await tx.fetch(LOCK, shares)
                await deletion.run(tx, shares)
                await tx.execute(FORGET_SHARES, post_id, shares)
                await announce(self._hot, deletion)
            gone = len(rows)
            for sql in (LIKES_OF, COMMENTS_OF):
                if gone < limit:
                    gone += len(await tx.fetch(sql, post_id, limit - gone))
        await settle(self._pool, self._outbox, self._hot, deletion)
        return gone

    async def _store(
        self, tx: Statements, post: StoredPost, *, before: StoredPost
    ) -> None:
        await tx.execute(UPDATE, post.post_id, post.visibility, post.version, post.body)
        event = PostUpdated(
            post_id=post.post_id,
            author_id=post.author_id,
            visibility=post.visibility,  # type: ignore[arg-type]  # the same numbers
            previous_visibility=before.visibility,  # type: ignore[arg-type]  # as above
        )
        await self._outbox.append(
            tx, event, aggregate_id=post.post_id, version=post.version
        )
        await store_audit.record_acting(tx, "post.update", post.post_id)
        # Last before the commit: from here until it is told, nobody reads a copy.
        await self._hot.changing({post.post_id: post.version})

    async def _claim(self, tx: Statements, request: RequestKey) -> bool:
        earlier = await self._requests.claim(
            tx,
            caller=request.caller,
            method=request.method,
            key=request.key,
            digest=request.digest,
        )
        return earlier is not None

    async def _keep(self, tx: Statements, request: RequestKey) -> None:
        # The answer to a repeat is the post as it is then: nothing to keep of it.
        await self._requests.keep(
            tx,
            caller=request.caller,
            method=request.method,
            key=request.key,
            response=b"",
        )


def _found(rows: Sequence[asyncpg.Record]) -> StoredPost:
    if not rows:
        raise NotFound("POST_NOT_FOUND")
    return post_of(rows[0])


async def announce(hot: HotPosts, deletion: Deletion) -> None:
    """Before the commit of a deletion: from here on nobody reads a copy."""
    await hot.changing(deletion.versions)
    for person, version in deletion.sharers.items():
        await hot.acting(person, version)


async def settle(pool: Pool, outbox: Outbox, hot: HotPosts, deletion: Deletion) -> None:
    """After the commit of a deletion."""
    if not deletion.versions:
        return
    outbox.wake()
    await hot.deleted(deletion.versions)
    for person in deletion.sharers:
        await hot.acted(person, await store_did.did(pool, person))
