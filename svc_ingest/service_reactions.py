"""PostService: shares and likes."""

from feedmesh.ingest.v1 import post_pb2

from chassis import paging

from . import convert
from .creation import PostCreation
from .model import PostId
from .reactions import PostReactions
from .service_caller import Context, me


class ReactionRpcs:
    """What people do with posts of others."""

    _creation: PostCreation
    _reactions: PostReactions

    async def SharePost(
        self, request: post_pb2.SharePostRequest, context: Context
    ) -> post_pb2.SharePostResponse:
        created = await self._creation.create(
            convert.share_draft(me(), PostId(request.post_id)),
            request=convert.request_key(me(), "SharePost", request),
        )

        return post_pb2.SharePostResponse(
            post=convert.post_to_pb(created.post.body), replayed=created.replayed
        )

    async def UnsharePost(
        self, request: post_pb2.UnsharePostRequest, context: Context
    ) -> post_pb2.UnsharePostResponse:
        await self._reactions.unshare(me(), PostId(request.post_id))

        return post_pb2.UnsharePostResponse()

    async def LikePost(
        self, request: post_pb2.LikePostRequest, context: Context
    ) -> post_pb2.LikePostResponse:
        actions = await self._reactions.like(me(), PostId(request.post_id))

        return post_pb2.LikePostResponse(viewer=convert.actions_to_pb(actions))

    async def UnlikePost(
        self, request: post_pb2.UnlikePostRequest, context: Context
    ) -> post_pb2.UnlikePostResponse:
        actions = await self._reactions.unlike(me(), PostId(request.post_id))

        return post_pb2.UnlikePostResponse(viewer=convert.actions_to_pb(actions))

    async def ListLikes(
        self, request: post_pb2.ListLikesRequest, context: Context
    ) -> post_pb2.ListLikesResponse:
        page = await self._reactions.likes(
            me(),
            PostId(request.post_id),
            size=paging.clamp(request.page_size, default=50, ceiling=100),
            token=request.page_token,
        )

        return post_pb2.ListLikesResponse(
            user_ids=[like.user_id for like in page.items],
            next_page_token=page.next_token,
        )
