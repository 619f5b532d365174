"""PostService: posts. Reactions, comments and lists have files of their own."""

from feedmesh.ingest.v1 import post_pb2

from . import convert
from .batches import PostBatches
from .comments import PostComments
from .creation import PostCreation
from .model import PostId
from .posts import Posts
from .reactions import PostReactions
from .reconciliation import Reconciliation
from .service_caller import Context, anyone, me
from .service_comments import CommentRpcs
from .service_counters import CounterRpcs
from .service_lists import ListRpcs
from .service_reactions import ReactionRpcs


class PostService(ReactionRpcs, CommentRpcs, ListRpcs, CounterRpcs):
    """Posts by themselves. Hot answers are ready bytes."""

    def __init__(
        self,
        *,
        creation: PostCreation,
        posts: Posts,
        batches: PostBatches,
        reactions: PostReactions,
        comments: PostComments,
        reconciliation: Reconciliation,
    ) -> None:
        self._creation = creation
        self._posts = posts
        self._batches = batches
        self._reactions = reactions
        self._comments = comments
        self._reconciliation = reconciliation

    async def CreatePost(
        self, request: post_pb2.CreatePostRequest, context: Context
    ) -> post_pb2.CreatePostResponse:
        created = await self._creation.create(
            convert.draft_from_pb(me(), request),
            request=convert.request_key(me(), "CreatePost", request),
        )

        return post_pb2.CreatePostResponse(
            post=convert.post_to_pb(created.post.body), replayed=created.replayed
        )

    async def GetPost(
        self, request: post_pb2.GetPostRequest, context: Context
    ) -> bytes:
        record = await self._posts.get(anyone(), PostId(request.post_id))

        return convert.record_to_bytes(record)

    async def UpdatePost(
        self, request: post_pb2.UpdatePostRequest, context: Context
    ) -> post_pb2.UpdatePostResponse:
        post = await self._posts.edit(
            me(),
            PostId(request.post.post_id),
            convert.edit_from_pb(request),
            request=convert.request_key(me(), "UpdatePost", request),
        )

        return post_pb2.UpdatePostResponse(post=convert.post_to_pb(post.body))

    async def DeletePost(
        self, request: post_pb2.DeletePostRequest, context: Context
    ) -> post_pb2.DeletePostResponse:
        await self._posts.delete(me(), PostId(request.post_id), etag=request.etag)

        return post_pb2.DeletePostResponse()
