"""PostService: many posts at once, for people and for other services."""

from feedmesh.ingest.v1 import post_pb2

from chassis import paging

from . import convert
from .batches import PostBatches
from .model import PostId, UserId
from .posts import Posts
from .service_caller import Context, me

# Of each author in BatchListRecentPosts.
MOST_RECENT = 50


class ListRpcs:
    """Lists and batches. Answers are ready bytes, joined from what is stored."""

    _posts: Posts
    _batches: PostBatches

    async def ListUserPosts(
        self, request: post_pb2.ListUserPostsRequest, context: Context
    ) -> bytes:
        page = await self._posts.by_author(
            UserId(request.user_id),
            viewer=me(),
            size=paging.clamp(request.page_size, default=20, ceiling=100),
            token=request.page_token,
        )

        return convert.user_posts_to_bytes(page.items, page.next_token)

    async def BatchGetPosts(
        self, request: post_pb2.BatchGetPostsRequest, context: Context
    ) -> bytes:
        records = await self._batches.get(
            [PostId(post_id) for post_id in request.post_ids],
            UserId(request.viewer_id),
        )

        return convert.batch_to_bytes(records)

    async def BatchListRecentPosts(
        self, request: post_pb2.BatchListRecentPostsRequest, context: Context
    ) -> post_pb2.BatchListRecentPostsResponse:
        recent = await self._batches.recent(
            [UserId(author) for author in request.author_ids],
            after=request.after_post_id,
            before=request.before_post_id,
            limit=request.limit or MOST_RECENT,
        )

        return post_pb2.BatchListRecentPostsResponse(
            post_ids=[post_id for post_id, _ in recent],
            author_ids=[author for _, author in recent],
        )
