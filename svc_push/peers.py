"""Graph and Posts over the stubs of other services."""

from collections.abc import AsyncIterator, Sequence

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from .model import PostId, PostRecord, Tie, UserId

FOLLOWERS_PAGE = 1000


class GraphPeer:
    """Graph over svc_graph."""

    def __init__(self, *, stub: "graph_pb2_grpc.GraphServiceAsyncStub") -> None:
        self._stub = stub

    async def is_celebrity(self, author: UserId) -> bool:
        reach = await self._stub.GetReach(graph_pb2.GetReachRequest(user_id=author))
        return reach.is_celebrity

    async def followers(self, author: UserId) -> AsyncIterator[list[UserId]]:
        pages = self._stub.StreamFollowers(
            graph_pb2.StreamFollowersRequest(user_id=author, page_size=FOLLOWERS_PAGE)
        )
        async for page in pages:
            yield [UserId(follower) for follower in page.follower_ids]

    async def ties(self, author: UserId, people: Sequence[UserId]) -> dict[UserId, Tie]:
        if not people:
            return {}
        answer = await self._stub.GetRelations(
            graph_pb2.GetRelationsRequest(viewer_id=author, user_ids=people)
        )
        return {
            UserId(relation.user_id): Tie(
                is_following=relation.is_following,
                is_followed_by=relation.is_followed_by,
            )
            for relation in answer.relations
        }

    async def followed_celebrities(self, viewer: UserId) -> frozenset[UserId]:
        answer = await self._stub.ListFollowedCelebrities(
            graph_pb2.ListFollowedCelebritiesRequest(viewer_id=viewer)
        )
        return frozenset(UserId(author) for author in answer.user_ids)


class PostsPeer:
    """Posts over svc_ingest."""

    def __init__(self, *, stub: "post_pb2_grpc.PostServiceAsyncStub") -> None:
        self._stub = stub

    async def recent(
        self, authors: Sequence[UserId], *, after: PostId, before: PostId, limit: int
    ) -> list[tuple[PostId, UserId]]:
        if not authors:
            return []
        answer = await self._stub.BatchListRecentPosts(
            post_pb2.BatchListRecentPostsRequest(
                author_ids=authors,
                after_post_id=after,
                before_post_id=before,
                limit=limit,
            )
        )
        pairs = zip(answer.post_ids, answer.author_ids, strict=True)
        return [(PostId(post), UserId(author)) for post, author in pairs]

    async def records(self, posts: Sequence[PostId]) -> list[PostRecord]:
        answer = await self._stub.BatchGetPosts(
            post_pb2.BatchGetPostsRequest(post_ids=posts)
        )
        return [
            PostRecord(
                post_id=PostId(record.post.post_id),
                author_id=UserId(record.post.author_id),
                visibility=record.post.visibility,
            )
            for record in answer.posts
        ]
