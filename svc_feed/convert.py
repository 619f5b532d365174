"""Wire and domain of home feeds. Pages leave the domain as wire bytes already."""

from __future__ import annotations

from feedmesh.feed.v1 import feed_pb2

from chassis import paging

from .model import FeedQuery, Order, UserId

DEFAULT_SIZE = 20
CEILING = 100


def query_from_pb(
    request: feed_pb2.GetHomeFeedRequest, *, viewer: int, min_graph_version: int
) -> FeedQuery:
    is_latest = request.order == feed_pb2.ORDER_LATEST
    return FeedQuery(
        viewer=UserId(viewer),
        order=Order.LATEST if is_latest else Order.RANKED,
        size=paging.clamp(request.page_size, default=DEFAULT_SIZE, ceiling=CEILING),
        token=request.page_token,
        refresh=request.refresh,
        include_scores=request.include_scores,
        min_graph_version=min_graph_version,
    )
