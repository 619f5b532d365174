"""FeedService RPCs: request in, one domain call, wire bytes out."""

from __future__ import annotations

from typing import cast

from grpc.aio import ServicerContext

from feedmesh.feed.v1 import feed_pb2

from chassis import auth, context

from . import convert
from .explain import FeedExplanations
from .model import UserId
from .ports import Feeds
from .service_admin import AdminRpcs
from .upkeep import FeedUpkeep


class FeedService(AdminRpcs):
    """Home feeds of callers. What operators call is in service_admin.py."""

    def __init__(
        self,
        *,
        home_feed: Feeds,
        explanations: FeedExplanations,
        upkeep: FeedUpkeep,
    ) -> None:
        self._home_feed = home_feed
        self._explanations = explanations
        self._upkeep = upkeep

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
        return cast("feed_pb2.GetHomeFeedResponse", page.body)

    async def GetNewPostCount(
        self,
        request: feed_pb2.GetNewPostCountRequest,
        call: ServicerContext[
            feed_pb2.GetNewPostCountRequest, feed_pb2.GetNewPostCountResponse
        ],
    ) -> feed_pb2.GetNewPostCountResponse:
        count = await self._home_feed.new_post_count(
            UserId(auth.require_user()),
            min_graph_version=context.min_graph_version(),
        )

        return feed_pb2.GetNewPostCountResponse(new_post_count=count)
