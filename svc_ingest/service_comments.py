"""PostService: comments."""

from feedmesh.ingest.v1 import post_pb2

from chassis import paging

from . import convert
from .comments import PostComments
from .model import CommentId, PostId
from .service_caller import Context, me


class CommentRpcs:
    """What people say under posts."""

    _comments: PostComments

    async def CreateComment(
        self, request: post_pb2.CreateCommentRequest, context: Context
    ) -> post_pb2.CreateCommentResponse:
        comment, replayed = await self._comments.create(
            me(),
            PostId(request.post_id),
            request.text,
            request=convert.request_key(me(), "CreateComment", request),
        )

        return post_pb2.CreateCommentResponse(
            comment=convert.comment_to_pb(comment), replayed=replayed
        )

    async def ListComments(
        self, request: post_pb2.ListCommentsRequest, context: Context
    ) -> post_pb2.ListCommentsResponse:
        page = await self._comments.under(
            me(),
            PostId(request.post_id),
            size=paging.clamp(request.page_size, default=50, ceiling=100),
            token=request.page_token,
        )

        return post_pb2.ListCommentsResponse(
            comments=map(convert.comment_to_pb, page.items),
            next_page_token=page.next_token,
        )

    async def DeleteComment(
        self, request: post_pb2.DeleteCommentRequest, context: Context
    ) -> post_pb2.DeleteCommentResponse:
        await self._comments.delete(
            me(),
            CommentId(request.comment_id),
            request=convert.request_key(me(), "DeleteComment", request),
        )

        return post_pb2.DeleteCommentResponse()
