"""Wire and domain of home feeds. Pages leave the domain as wire bytes already."""

from __future__ import annotations

from feedmesh.feed.v1 import feed_pb2

from chassis import paging
from chassis.auth import Caller

from .model import Audited, Explanation, FeedQuery, Order, UserId

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


def explanation_to_pb(explanation: Explanation) -> feed_pb2.ExplainFeedResponse:
    answer = feed_pb2.ExplainFeedResponse(
        is_in_feed=explanation.is_in_feed,
        author_id=explanation.author_id,
        edge=feed_pb2.EdgeState.ValueType(explanation.edge),
        placement=feed_pb2.PlacementState.ValueType(explanation.placement),
        is_hot=explanation.is_hot,
        hidden_by=feed_pb2.HiddenBy.ValueType(explanation.hidden_by),
        summary=explanation.summary,
    )
    if explanation.last_read is not None:
        answer.last_read_time.FromDatetime(explanation.last_read)
    return answer


def audited_to_pb(found: Audited) -> feed_pb2.AuditFeedResponse:
    return feed_pb2.AuditFeedResponse(
        checked_count=found.checked,
        missing_post_ids=[entry.post_id for entry in found.missing],
        extra_post_ids=[entry.post_id for entry in found.extra],
        is_partial=found.is_partial,
        is_repaired=found.is_repaired,
    )


def actor_from(caller: Caller) -> str:
    """Who did it, as the audit trail says it."""
    if caller.acting_for:
        return f"service:{caller.service} for user:{caller.user_id}"
    if caller.user_id:
        return f"user:{caller.user_id}"
    return f"service:{caller.service}" if caller.service else caller.role.value
