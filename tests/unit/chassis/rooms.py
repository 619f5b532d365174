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


def rank(does: Unary) -> dict[Any, object]:
    """Rank, which is INTERNAL and has 80 ms, as serving() takes it."""
    servicer = _doing(rank_pb2_grpc.RankServiceServicer, "Rank", does)
    return {rank_pb2_grpc.add_RankServiceServicer_to_server: servicer}


def users(does: Unary) -> dict[Any, object]:
    """GetUser, which is PUBLIC and has 1.5 s."""
    servicer = _doing(user_pb2_grpc.UserServiceServicer, "GetUser", does)
    return {user_pb2_grpc.add_UserServiceServicer_to_server: servicer}


def graph(does: Stream) -> dict[Any, object]:
    """StreamFollowers, an INTERNAL stream with a deadline."""
    servicer = _doing(graph_pb2_grpc.GraphServiceServicer, "StreamFollowers", does)
    return {graph_pb2_grpc.add_GraphServiceServicer_to_server: servicer}


def push(does: Stream) -> dict[Any, object]:
    """Subscribe, a long-lived stream for USERs."""
    servicer = _doing(push_pb2_grpc.PushServiceServicer, "Subscribe", does)
    return {push_pb2_grpc.add_PushServiceServicer_to_server: servicer}


def _doing(base: type, method: str, does: Callable[[Any], Any]) -> object:
    """A servicer with one method; the others stay as they are generated."""

    def handler(_self: object, request: Any, _context: object) -> Any:
        return does(request)

    return type("Doing", (base,), {method: handler})()
