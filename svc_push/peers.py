"""Graph and Posts over the stubs of other services."""

from collections.abc import AsyncIterator, Sequence

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from domain.visibility import Relation

from .model import Followee, PostId, PostRecord, Relations, Tie, UserId

# Most that svc_graph answers in one message.
PAGE = 1000


class GraphPeer:
    """Graph over svc_graph."""

    def __init__(self, *, stub: "graph_pb2_grpc.GraphServiceAsyncStub") -> None:
        self._stub = stub

    async def is_celebrity(self, author: UserId) -> bool:
        reach = await self._stub.GetReach(graph_pb2.GetReachRequest(user_id=author))
        return reach.is_celebrity

    async def followers(self, author: UserId) -> AsyncIterator[list[UserId]]:
        pages = self._stub.StreamFollowers(
            graph_pb2.StreamFollowersRequest(user_id=author, page_size=PAGE)
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

    async def following(self, viewer: UserId) -> AsyncIterator[list[Followee]]:
        pages = self._stub.StreamFollowing(
            graph_pb2.StreamFollowingRequest(user_id=viewer, page_size=PAGE)
        )
        async for page in pages:
            pairs = zip(page.followee_ids, page.are_celebrities, strict=True)
            yield [
                Followee(UserId(author), is_celebrity) for author, is_celebrity in pairs
            ]

    async def relations(self, viewer: UserId, people: Sequence[UserId]) -> Relations:
        if not people:
            return Relations(of={}, version=0)
        answer = await self._stub.GetRelations(
            graph_pb2.GetRelationsRequest(viewer_id=viewer, user_ids=people)
        )
        found = {
            UserId(relation.user_id): relation_from_pb(relation)
            for relation in answer.relations
        }
        return Relations(of=found, version=answer.graph_version)


def relation_from_pb(relation: graph_pb2.Relation) -> Relation:
    """A relation as the domain has it."""
    return Relation(
        is_following=relation.is_following,
        is_followed_by=relation.is_followed_by,
        is_blocking=relation.is_blocking,
        is_blocked_by=relation.is_blocked_by,
        is_muting=relation.is_muting,
        is_private=relation.is_private,
        state=relation.state,
    )


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
                version=record.version,
            )
            for record in answer.posts
        ]
