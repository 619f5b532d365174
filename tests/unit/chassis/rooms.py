"""Servicers that do what a test says, and requests that they take."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc, user_pb2, user_pb2_grpc
from feedmesh.push.v1 import push_pb2, push_pb2_grpc
from feedmesh.rank.v1 import rank_pb2, rank_pb2_grpc

Unary: TypeAlias = Callable[[Any], Awaitable[Any]]
Stream: TypeAlias = Callable[[Any], AsyncIterator[Any]]

RANK = rank_pb2.RankRequest(
    viewer_id=1, as_of_ms=1, post_ids=[1], author_ids=[1], create_times_ms=[1]
)
USER = user_pb2.GetUserRequest(user_id=1)
FOLLOWERS = graph_pb2.StreamFollowersRequest(user_id=1)
SUBSCRIBE = push_pb2.SubscribeRequest()


class Rank(rank_pb2_grpc.RankServiceServicer):
    """INTERNAL, 80 ms."""

    def __init__(self, does: Unary) -> None:
        self._does = does

    async def Rank(self, request: Any, context: Any) -> Any:
        return await self._does(request)


class Users(user_pb2_grpc.UserServiceServicer):
    """GetUser is PUBLIC, 1.5 s."""

    def __init__(self, does: Unary) -> None:
        self._does = does

    async def GetUser(self, request: Any, context: Any) -> Any:
        return await self._does(request)


class Graph(graph_pb2_grpc.GraphServiceServicer):
    """StreamFollowers is an INTERNAL stream with a deadline."""

    def __init__(self, does: Stream) -> None:
        self._does = does

    def StreamFollowers(self, request: Any, context: Any) -> Any:
        return self._does(request)


class Push(push_pb2_grpc.PushServiceServicer):
    """Subscribe is a long-lived stream for USERs."""

    def __init__(self, does: Stream) -> None:
        self._does = does

    def Subscribe(self, request: Any, context: Any) -> Any:
        return self._does(request)


def rank(does: Unary) -> dict[Any, object]:
    """The rank service, as serving() takes it."""
    return {rank_pb2_grpc.add_RankServiceServicer_to_server: Rank(does)}


def users(does: Unary) -> dict[Any, object]:
    """The user service, as serving() takes it."""
    return {user_pb2_grpc.add_UserServiceServicer_to_server: Users(does)}


def graph(does: Stream) -> dict[Any, object]:
    """The graph service, as serving() takes it."""
    return {graph_pb2_grpc.add_GraphServiceServicer_to_server: Graph(does)}


def push(does: Stream) -> dict[Any, object]:
    """The push service, as serving() takes it."""
    return {push_pb2_grpc.add_PushServiceServicer_to_server: Push(does)}
