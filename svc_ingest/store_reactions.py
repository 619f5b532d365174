"""Likes, and shares taken back."""

from feedmesh.ingest.v1.events_pb2 import PostLiked, PostUnliked

from chassis.errors import NotFound
from chassis.ids import Ids
from chassis.outbox import Outbox
from chassis.postgres import Pool, Statements

from . import store_audit, store_did
from .model import Actions, Did, Like, PostId, UserId
from .ports import HotPosts
from .store_change import announce, settle
from .store_delete import LOCK, Deletion

AUTHOR = "SELECT author_id FROM post WHERE post_id = $1"

LIKE = """
INSERT INTO post_like (post_id, user_id, like_id) VALUES ($1, $2, $3)
ON CONFLICT (post_id, user_id) DO NOTHING
RETURNING like_id
"""

UNLIKE = """
DELETE FROM post_like WHERE post_id = $1 AND user_id = $2 RETURNING like_id
"""

LIKES = """
SELECT like_id, user_id FROM post_like
WHERE post_id = $1 AND like_id < $2
ORDER BY like_id DESC
LIMIT $3
"""

# Not locked: posts are locked before their share rows, by all who delete.
SHARE = "SELECT post_id FROM share WHERE user_id = $1 AND original_id = $2"


class PostgresReactions:
    """Reactions on Postgres. A like locks no row of the post."""

    def __init__(self, *, pool: Pool, outbox: Outbox, hot: HotPosts, ids: Ids) -> None:
        self._pool = pool
        self._outbox = outbox
        self._hot = hot
        self._ids = ids

    async def like(self, user: UserId, post_id: PostId) -> Actions:
        like_id = self._ids.next()
        async with self._pool.transaction() as tx:
            author = await _author(tx, post_id)
            is_new = await tx.fetchval(LIKE, post_id, user, like_id) is not None
            if is_new:
                event = PostLiked(post_id=post_id, user_id=user, author_id=author)
                await self._tell(tx, event, user, version=like_id)
            actions = await store_did.on_post(tx, user, post_id)
        await self._settle(user, is_new=is_new)
        return actions

    async def unlike(self, user: UserId, post_id: PostId) -> Actions:
        async with self._pool.transaction() as tx:
            author = await _author(tx, post_id)
            was_there = await tx.fetchval(UNLIKE, post_id, user) is not None
            if was_there:
                event = PostUnliked(post_id=post_id, user_id=user, author_id=author)
                await self._tell(tx, event, user, version=self._ids.next())
            actions = await store_did.on_post(tx, user, post_id)
        await self._settle(user, is_new=was_there)
        return actions

    async def unshare(self, user: UserId, original: PostId) -> None:
        deletion = Deletion(outbox=self._outbox)
        async with self._pool.transaction() as tx:
            share = await tx.fetchval(SHARE, user, original)
            if share is not None:
                await tx.fetch(LOCK, [share])
                await deletion.run(tx, [PostId(share)])
                await store_audit.record_acting(tx, "post.unshare", original)
                await announce(self._hot, deletion)
        await settle(self._pool, self._outbox, self._hot, deletion)

    async def likes(self, post_id: PostId, *, before: int, limit: int) -> list[Like]:
        rows = await self._pool.fetch(LIKES, post_id, before, limit)
        return [Like(row["like_id"], UserId(row["user_id"])) for row in rows]

    async def did(self, user: UserId) -> Did:
        return await store_did.did(self._pool, user)

    async def _tell(
        self,
        tx: Statements,
        event: PostLiked | PostUnliked,
        user: UserId,
        *,
        version: int,
    ) -> None:
        # The version is a time-ordered id: it grows with every like of the post.
        await self._outbox.append(
            tx, event, aggregate_id=event.post_id, version=version
        )
        what = "post.like" if isinstance(event, PostLiked) else "post.unlike"
        await store_audit.record_acting(tx, what, event.post_id)
        versions = await store_did.bump(tx, [user])
        await self._hot.acting(user, versions[user])

    async def _settle(self, user: UserId, *, is_new: bool) -> None:
        if is_new:
            self._outbox.wake()
            await self._hot.acted(user, await self.did(user))


async def _author(tx: Statements, post_id: PostId) -> int:
    author: int | None = await tx.fetchval(AUTHOR, post_id)
    if author is None:
        raise NotFound("POST_NOT_FOUND")
    return author
