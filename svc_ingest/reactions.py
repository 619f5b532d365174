"""Likes and shares taken back, and the lists of likes."""

from collections.abc import Sequence

from chassis.paging import Page

from .audience import Audience
from .model import Actions, Like, PostId, UserId
from .pages import Pages, Rows
from .ports import Reactions


class PostReactions:
    """What people do with posts that they may see."""

    def __init__(
        self, *, audience: Audience, reactions: Reactions, pages: Pages
    ) -> None:
        self._audience = audience
        self._reactions = reactions
        self._pages = pages

    async def like(self, user: UserId, post_id: PostId) -> Actions:
        """Puts a like in place. Raises NotFound POST_NOT_FOUND."""
        await self._audience.find(user, post_id)
        return await self._reactions.like(user, post_id)

    async def unlike(self, user: UserId, post_id: PostId) -> Actions:
        """Takes a like back. Raises NotFound POST_NOT_FOUND."""
        await self._audience.find(user, post_id)
        return await self._reactions.unlike(user, post_id)

    async def unshare(self, user: UserId, post_id: PostId) -> None:
        """Takes a share back; naming the share itself means its original.

        Raises NotFound POST_NOT_FOUND.
        """
        record = await self._audience.find(user, post_id)
        original = record.post.share_of or record.post.post_id
        await self._reactions.unshare(user, original)

    async def likes(
        self, viewer: UserId, post_id: PostId, *, size: int, token: str
    ) -> Page[Like]:
        """Who likes the post, without those whom the viewer may not see.

        Newest first. Raises NotFound POST_NOT_FOUND, InvalidArgument
        PAGE_TOKEN_INVALID.
        """
        onlooker = self._audience.onlooker(viewer)
        await self._audience.find(viewer, post_id, onlooker=onlooker)

        async def read(before: int, limit: int) -> list[Like]:
            return await self._reactions.likes(post_id, before=before, limit=limit)

        async def keep(likes: Sequence[Like]) -> list[Like]:
            shown = await onlooker.people(like.user_id for like in likes)
            return [like for like in likes if like.user_id in shown]

        rows = Rows(read=read, keep=keep, position=lambda like: like.like_id)
        return await self._pages.fill(
            rows, scope=f"likes/{post_id}", reader=viewer, size=size, token=token
        )
