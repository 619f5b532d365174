"""How a command reaches a mesh on this machine: its ports, and who the command is.

The first word is spoken with the internal identity, made from the secrets below the
data folder; a command that writes gets itself a service token with it, so that what
it does is audited under a name.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from feedmesh.feed.v1 import feed_pb2_grpc
from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc, user_pb2_grpc
from feedmesh.ingest.v1 import post_pb2_grpc

from .calling import SERVICE, open_service
from .layout import Layout, address

# Names the person that a service token acts for.
ACT_AS = "x-feedmesh-act-as"

Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Place:
    """Where a mesh runs: its files and its ports."""

    layout: Layout
    offset: int = 0


@dataclass(frozen=True)
class Connection:
    """Stubs of a mesh, called with one credential."""

    users: user_pb2_grpc.UserServiceAsyncStub
    graph: graph_pb2_grpc.GraphServiceAsyncStub
    posts: post_pb2_grpc.PostServiceAsyncStub
    feeds: feed_pb2_grpc.FeedServiceAsyncStub

    @staticmethod
    def acting_as(user_id: int) -> Metadata:
        """Metadata that makes a call with a service token that of a person."""
        return [(ACT_AS, str(user_id))]


@contextlib.asynccontextmanager
async def connect(place: Place, *, token: str = "") -> AsyncIterator[Connection]:
    """Opens channels to the rooms, with a token or else as a peer of the mesh."""
    async with contextlib.AsyncExitStack() as stack:
        channels = {
            room: await stack.enter_async_context(
                open_service(
                    room, address(room, place.offset), place.layout, token=token
                )
            )
            for room in ("graph", "ingest", "feed")
        }
        yield Connection(
            users=user_pb2_grpc.UserServiceStub(channels["graph"]),
            graph=graph_pb2_grpc.GraphServiceStub(channels["graph"]),
            posts=post_pb2_grpc.PostServiceStub(channels["ingest"]),
            feeds=feed_pb2_grpc.FeedServiceStub(channels["feed"]),
        )


@contextlib.asynccontextmanager
async def connect_as_service(place: Place) -> AsyncIterator[Connection]:
    """As connect, with a fresh service token in the name of meshctl."""
    async with connect(place) as peer:
        issued = await peer.graph.IssueToken(
            graph_pb2.IssueTokenRequest(handle=SERVICE, service=True)
        )
    async with connect(place, token=issued.access_token) as connection:
        yield connection
