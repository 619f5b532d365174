"""FeedService RPCs: request in, one domain call, wire bytes out."""

from __future__ import annotations

from typing import cast

from grpc.aio import ServicerContext

from feedmesh.feed.v1 import feed_pb2, feed_pb2_grpc

from chassis import auth, context

from . import convert
from .home_feed import HomeFeed


class FeedService(feed_pb2_grpc.FeedServiceServicer):
    """Home feeds of callers."""

    def __init__(self, *, home_feed: HomeFeed) -> None:
        self._home_feed = home_feed

    async def GetHomeFeed(
        self,
        request: feed_pb2.GetHomeFeedRequest,
        call: ServicerContext[
            feed_pb2.GetHomeFeedRequest, feed_pb2.GetHomeFeedResponse
        ],
    ) -> feed_pb2.GetHomeFeedResponse:
        query = convert.query_from_pb(
            request,
            viewer=auth.require_user(),
            min_graph_version=context.min_graph_version(),
        )
        page = await self._home_feed.page(query)

        # The server passes ready bytes through; the generated signature cannot say so.
        return cast("feed_pb2.GetHomeFeedResponse", page)
