"""Comments: written, listed and deleted."""

from collections.abc import Sequence

from chassis.errors import NotFound
from chassis.ids import Ids
from chassis.paging import Page

from .audience import Audience
from .model import Comment, CommentId, PostId, RequestKey, UserId
from .ownership import require_owner
from .pages import Pages, Rows
from .ports import Comments


def comment_not_found() -> NotFound:
    """The one answer for a comment that is missing and for one that is hidden."""
    return NotFound("COMMENT_NOT_FOUND")


class PostComments:
    """What people say under posts that they may see."""

    def __init__(
        self, *, audience: Audience, comments: Comments, pages: Pages, ids: Ids
    ) -> None:
        self._audience = audience
        self._comments = comments
        self._pages = pages
        self._ids = ids

    async def create(
        self, author: UserId, post_id: PostId, text: str, *, request: RequestKey | None
    ) -> tuple[Comment, bool]:
        """Stores a comment; True beside it when an earlier request had stored it.

        Raises NotFound POST_NOT_FOUND, Aborted REQUEST_ID_CONFLICT.
        """
        try:
            await self._audience.find(author, post_id)
        except NotFound:
            earlier = await self._comments.replay(request) if request else None
            if earlier is None:
                raise
            return earlier, True
        comment = Comment(CommentId(self._ids.next()), post_id, author, text)
        return await self._comments.add(comment, request=request)

    async def under(
        self, viewer: UserId, post_id: PostId, *, size: int, token: str
    ) -> Page[Comment]:
        """Comments of the post, without those of people the viewer may not see.

        Newest first. Raises NotFound POST_NOT_FOUND, InvalidArgument
        PAGE_TOKEN_INVALID.
        """
        onlooker = self._audience.onlooker(viewer)
        await self._audience.find(viewer, post_id, onlooker=onlooker)

        async def read(before: int, limit: int) -> list[Comment]:
            return await self._comments.under(post_id, before=before, limit=limit)

        async def keep(comments: Sequence[Comment]) -> list[Comment]:
            shown = await onlooker.people(comment.author_id for comment in comments)
            return [comment for comment in comments if comment.author_id in shown]

        rows = Rows(read=read, keep=keep, position=lambda comment: comment.comment_id)
        return await self._pages.fill(
            rows, scope=f"comments/{post_id}", reader=viewer, size=size, token=token
        )

    async def delete(
        self, caller: UserId, comment_id: CommentId, *, request: RequestKey | None
    ) -> None:
        """Deletes a comment of the caller's, or under a post of the caller's.

        Raises NotFound COMMENT_NOT_FOUND, PermissionDenied NOT_OWNER.
        """
        comment = await self._comments.find(comment_id)
        if comment is None:
            if request and await self._comments.was_deleted(request):
                return
            await self._audience.onlooker(caller).learn([caller])
            raise comment_not_found()
        if comment.author_id != caller:
            await self._require_author_of_post(caller, comment)
        await self._comments.delete(comment, by=caller, request=request)

    async def _require_author_of_post(self, caller: UserId, comment: Comment) -> None:
        """Authors of posts may delete what they cannot see themselves."""
        onlooker = self._audience.onlooker(caller)
        try:
            record = await self._audience.find(
                caller, comment.post_id, onlooker=onlooker
            )
        except NotFound:
            raise comment_not_found() from None
        if record.post.author_id == caller:
            return
        if not await onlooker.people([comment.author_id]):
            raise comment_not_found()
        require_owner(caller, comment.author_id, record.post.author_id)
