"""Small services that a gateway can stand in front of: they say what reached them."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import grpc.aio

from feedmesh.feed.v1 import feed_pb2, feed_pb2_grpc
from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc, user_pb2
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc
from feedmesh.push.v1 import push_pb2, push_pb2_grpc

from chassis import context, deadline
from chassis.auth import Caller, caller
from chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    MeshError,
    NotFound,
    Unavailable,
)
from chassis.server import Adder

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

MISSING, BROKEN, FLAKY, SLOW, AWAY = 404, 500, 503, 504, 999


class Posts(post_pb2_grpc.PostServiceServicer):
    """Posts whose ids say how they behave."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.calls = 0
        self.remaining: list[float | None] = []

    def _note(self) -> None:
        self.calls += 1
        self.callers.append(caller())
        self.remaining.append(deadline.remaining())

    async def CreatePost(
        self, request: post_pb2.CreatePostRequest, _: Context
    ) -> post_pb2.CreatePostResponse:
        self._note()
        if request.request_id == "taken":
            raise Aborted("REQUEST_ID_CONFLICT")
        return post_pb2.CreatePostResponse(
            post=post_pb2.Post(post_id=1, text=request.text, reply_to=request.reply_to),
            replayed=request.request_id == "again",
        )

    async def GetPost(
        self, request: post_pb2.GetPostRequest, _: Context
    ) -> post_pb2.GetPostResponse:
        self._note()
        if request.post_id == BROKEN:
            raise RuntimeError("a secret of ours")
        if request.post_id == FLAKY and self.calls == 1:
            raise Unavailable("DEPENDENCY_UNAVAILABLE")
        if request.post_id == SLOW:
            await asyncio.Event().wait()
        refusals: Mapping[int, MeshError] = {
            MISSING: NotFound("POST_NOT_FOUND"),
            AWAY: Unavailable("OVERLOADED", retry_after=7),
        }
        if request.post_id in refusals:
            raise refusals[request.post_id]
        return post_pb2.GetPostResponse(
            post=post_pb2.Post(post_id=request.post_id, text="hi", etag="e1")
        )

    async def UpdatePost(
        self, request: post_pb2.UpdatePostRequest, _: Context
    ) -> post_pb2.UpdatePostResponse:
        self._note()
        if request.post.etag not in ("", "e1"):
            raise Aborted("ETAG_MISMATCH")
        return post_pb2.UpdatePostResponse(
            post=post_pb2.Post(
                post_id=request.post.post_id, text=",".join(request.update_mask.paths)
            )
        )

    async def DeletePost(
        self, request: post_pb2.DeletePostRequest, _: Context
    ) -> post_pb2.DeletePostResponse:
        self._note()
        raise FailedPrecondition("POST_NOT_SHAREABLE", metadata={"etag": request.etag})


class Feed(feed_pb2_grpc.FeedServiceServicer):
    """A feed that holds what reached it."""

    async def GetHomeFeed(
        self, request: feed_pb2.GetHomeFeedRequest, _: Context
    ) -> feed_pb2.GetHomeFeedResponse:
        return feed_pb2.GetHomeFeedResponse(
            next_page_token=context.request_id(),
            new_post_count=context.min_graph_version(),
            items=[feed_pb2.FeedItem(author=user_pb2.User(user_id=caller().user_id))],
        )


class Graph(graph_pb2_grpc.GraphServiceServicer):
    """Every follow makes graph version 42."""

    async def Follow(
        self, request: graph_pb2.FollowRequest, _: Context
    ) -> graph_pb2.FollowResponse:
        return graph_pb2.FollowResponse(
            state=graph_pb2.FOLLOW_STATE_FOLLOWING, graph_version=42
        )


class Push(push_pb2_grpc.PushServiceServicer):
    """A log of events 1 to `last`; cut after every `cut`, if any; then silence.

    `width` is how many digits a position is padded to, for heavy events.
    """

    def __init__(
        self, *, last: int, cut: int = 0, ends: bool = False, width: int = 1
    ) -> None:
        self.positions: list[str] = []
        self.left = asyncio.Event()
        self.sent = 0
        self._last = last
        self._cut = cut
        self._ends = ends
        self._width = width

    async def Subscribe(
        self, request: push_pb2.SubscribeRequest, _: Context
    ) -> AsyncIterator[push_pb2.SubscribeResponse]:
        if not re.fullmatch("(e1:[0-9]+)?", request.position):
            raise InvalidArgument("POSITION_INVALID")
        self.positions.append(request.position)
        start = int(request.position.partition(":")[2] or 0)
        try:
            for number in range(start + 1, self._last + 1):
                yield live_event(number, self._width)
                self.sent += 1
                if self._cut and number - start == self._cut:
                    raise Unavailable("OVERLOADED")
            if not self._ends:
                await asyncio.Event().wait()
        finally:
            self.left.set()


def small_posts() -> Posts:
    """What it does not have is UNIMPLEMENTED, as in any service."""
    return Posts()  # type: ignore[abstract]  # see above


def small_push(*, last: int, cut: int = 0, ends: bool = False, width: int = 1) -> Push:
    """As small_posts."""
    return Push(last=last, cut=cut, ends=ends, width=width)  # type: ignore[abstract]  # see above


def live_event(number: int, width: int = 1) -> push_pb2.SubscribeResponse:
    return push_pb2.SubscribeResponse(
        event=push_pb2.LiveEvent(
            position=f"e1:{number:0{width}d}",
            post_added=push_pb2.PostAdded(post_id=number),
        )
    )


def rooms(
    *,
    posts: Posts | None = None,
    push: Push | None = None,
) -> dict[Adder, object]:
    """Servicers by the functions that add them."""
    return {
        post_pb2_grpc.add_PostServiceServicer_to_server: posts or small_posts(),
        feed_pb2_grpc.add_FeedServiceServicer_to_server: Feed(),  # type: ignore[abstract]  # the rest is not asked for
        graph_pb2_grpc.add_GraphServiceServicer_to_server: Graph(),  # type: ignore[abstract]  # the rest is not asked for
        push_pb2_grpc.add_PushServiceServicer_to_server: push or small_push(last=0),
    }
