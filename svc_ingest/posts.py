"""Posts that are there: read, listed, edited, deleted."""

from collections.abc import Sequence
from dataclasses import replace

from chassis.clock import Clock
from chassis.errors import Aborted, InvalidArgument, NotFound, Violation
from chassis.paging import Page

from domain.visibility import Visibility

from .audience import Audience
from .model import (
    NOBODY,
    Edit,
    PostId,
    Record,
    RequestKey,
    StoredPost,
    UserId,
    etag_of,
)
from .ownership import require_owner
from .pages import Pages, Rows
from .ports import PostChanges, PostCodec, StoredPosts


class Posts:
    """What people read, and what authors do with posts of their own."""

    def __init__(
        self,
        *,
        audience: Audience,
        stored: StoredPosts,
        changes: PostChanges,
        codec: PostCodec,
        pages: Pages,
        clock: Clock,
    ) -> None:
        self._audience = audience
        self._stored = stored
        self._changes = changes
        self._codec = codec
        self._pages = pages
        self._clock = clock

    async def get(self, viewer: UserId, post_id: PostId) -> Record:
        """The post if the viewer may see it. Raises NotFound POST_NOT_FOUND."""
        return await self._audience.find(viewer, post_id)

    async def by_author(
        self, author: UserId, *, viewer: UserId, size: int, token: str
    ) -> Page[Record]:
        """The author's posts that the viewer may see, newest first.

        Raises NotFound USER_NOT_FOUND when the author is gone or blocked either
        way, InvalidArgument PAGE_TOKEN_INVALID.
        """
        onlooker = self._audience.onlooker(viewer)

        async def read(before: int, limit: int) -> list[Record]:
            return await self._stored.by_author(
                author, viewer=viewer, before=before, limit=limit
            )

        async def keep(records: Sequence[Record]) -> list[Record]:
            # In one call with the authors of what was shared.
            originals = {
                UserId(record.original.author_id)
                for record in records
                if record.original is not None
            }
            if author not in await onlooker.people({author} | originals):
                raise NotFound("USER_NOT_FOUND")
            return await onlooker.posts(records)

        rows = Rows(read=read, keep=keep, position=lambda record: record.post.post_id)
        return await self._pages.fill(
            rows, scope=f"posts/{author}", reader=viewer, size=size, token=token
        )

    async def edit(
        self,
        author: UserId,
        post_id: PostId,
        edit: Edit,
        *,
        request: RequestKey | None,
    ) -> StoredPost:
        """Changes text or visibility. Raises NotFound POST_NOT_FOUND,
        PermissionDenied NOT_OWNER, Aborted ETAG_MISMATCH.
        """
        await self._own(author, post_id)

        def rewrite(post: StoredPost) -> StoredPost:
            require_owner(author, post.author_id)
            if edit.etag:
                require_etag(edit.etag, post)
            return self._rewritten(post, edit)

        return await self._changes.edit(post_id, rewrite, request=request)

    def _rewritten(self, post: StoredPost, edit: Edit) -> StoredPost:
        if edit.text is not None:
            require_text(edit.text, is_share=bool(post.share_of))
        old = self._codec.decode(post.body, version=post.version)
        new = replace(
            old,
            text=old.text if edit.text is None else edit.text,
            visibility=(old.visibility if edit.visibility is None else edit.visibility),
        )
        if new == old:
            return post
        new = replace(new, version=old.version + 1, updated=self._clock.now())
        return replace(
            post,
            visibility=Visibility(new.visibility),
            version=new.version,
            body=self._codec.encode(new),
        )

    async def delete(self, author: UserId, post_id: PostId, *, etag: str) -> None:
        """Deletes the post; one that is gone is no error to its author.

        Raises NotFound POST_NOT_FOUND, PermissionDenied NOT_OWNER, Aborted
        ETAG_MISMATCH.
        """

        def check(post: StoredPost) -> None:
            require_owner(author, post.author_id)
            if etag:
                require_etag(etag, post)

        try:
            await self._own(author, post_id)
            await self._changes.delete(post_id, check)
        except NotFound:
            if not await self._stored.was_deleted_by(author, post_id):
                raise

    async def _own(self, author: UserId, post_id: PostId) -> None:
        """Tells a post of somebody else from one that is hidden or missing.

        Of one's own posts also a share is found whose original is hidden by now.
        """
        facts = (await self._stored.facts([post_id])).get(post_id)
        if facts is None or facts.author_id != author:
            await self._audience.find(author, post_id)
            require_owner(author, UserId(facts.author_id) if facts else NOBODY)


def require_etag(etag: str, post: StoredPost) -> None:
    """Raises Aborted ETAG_MISMATCH when the post is not as it was then."""
    if etag.strip('"') != etag_of(post.version):
        raise Aborted("ETAG_MISMATCH")


def require_text(text: str, *, is_share: bool) -> None:
    """Raises InvalidArgument: a share has no text of its own, all else has some."""
    if is_share:
        raise InvalidArgument(
            "UPDATE_MASK_INVALID",
            "a share has no text",
            violations=[Violation("update_mask", "text of a share cannot be changed")],
        )
    if not text:
        raise InvalidArgument(
            "VALIDATION_FAILED",
            "text is required",
            violations=[Violation("post.text", "text is required")],
        )
