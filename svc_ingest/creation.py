"""New posts: plain ones, replies, shares and quotes."""

from contextvars import copy_context

from chassis.errors import FailedPrecondition, NotFound
from chassis.ids import Ids, time_of

from .audience import Audience
from .group_commit import GroupCommit
from .model import (
    NO_POST,
    Created,
    Draft,
    NewPost,
    Post,
    PostId,
    RequestKey,
    StoredPost,
)
from .ports import NewPosts, PostCodec


class PostCreation:
    """Turns drafts into stored posts. Concurrent ones share a commit."""

    def __init__(
        self,
        *,
        audience: Audience,
        new_posts: NewPosts,
        group: GroupCommit[NewPost, Created],
        codec: PostCodec,
        ids: Ids,
    ) -> None:
        self._audience = audience
        self._new_posts = new_posts
        self._group = group
        self._codec = codec
        self._ids = ids

    async def create(self, draft: Draft, *, request: RequestKey | None) -> Created:
        """Stores the post, or answers the one that an earlier request stored.

        Raises NotFound POST_NOT_FOUND for a reference that the author may not
        see, FailedPrecondition POST_NOT_SHAREABLE for a share or quote of what
        not everybody may see, Aborted REQUEST_ID_CONFLICT.
        """
        try:
            share_of, quote_of = await self._references(draft)
        except (NotFound, FailedPrecondition):
            # A repeat is answered as the first was, whatever became of the
            # post that it refers to.
            earlier = await self._new_posts.replay(request) if request else None
            if earlier is None:
                raise
            return earlier
        post = self._stored(draft, share_of=share_of, quote_of=quote_of)
        return await self._group.submit(
            NewPost(
                post=post,
                request=request,
                call=copy_context(),
            )
        )

    async def _references(self, draft: Draft) -> tuple[PostId, PostId]:
        """What is shared and quoted, after resolving shares to their originals."""
        author = draft.author_id
        if draft.reply_to:
            await self._audience.find(author, draft.reply_to)
        if draft.share_of:
            original = await self._audience.shareable(author, draft.share_of)
            return PostId(original.post_id), NO_POST
        if draft.quote_of:
            original = await self._audience.shareable(author, draft.quote_of)
            return NO_POST, PostId(original.post_id)
        return NO_POST, NO_POST

    def _stored(
        self, draft: Draft, *, share_of: PostId, quote_of: PostId
    ) -> StoredPost:
        post_id = PostId(self._ids.next())
        post = Post(
            post_id=post_id,
            author_id=draft.author_id,
            text=draft.text,
            visibility=draft.visibility,
            reply_to=draft.reply_to,
            share_of=share_of,
            quote_of=quote_of,
            created=time_of(post_id),
            updated=None,
            version=1,
        )
        return StoredPost(
            post_id=post_id,
            author_id=post.author_id,
            visibility=post.visibility,
            reply_to=post.reply_to,
            share_of=share_of,
            quote_of=quote_of,
            version=post.version,
            body=self._codec.encode(post),
        )
