"""FeedService RPCs of operators: why a post is where it is, and mending feeds."""

from __future__ import annotations

from typing import Any, TypeAlias

from grpc.aio import ServicerContext

from feedmesh.feed.v1 import feed_pb2, feed_pb2_grpc

from chassis import auth

from . import convert
from .explain import FeedExplanations
from .model import PostId, UserId
from .upkeep import FeedUpkeep

# Not used, and of any request and answer.
Context: TypeAlias = ServicerContext[Any, Any]


class AdminRpcs(feed_pb2_grpc.FeedServiceServicer):
    """The part of FeedService that no reader calls."""

    _explanations: FeedExplanations
    _upkeep: FeedUpkeep

    async def ExplainFeed(
        self, request: feed_pb2.ExplainFeedRequest, context: Context
    ) -> feed_pb2.ExplainFeedResponse:
        explanation = await self._explanations.explain(
            UserId(request.user_id), PostId(request.post_id)
        )
        return convert.explanation_to_pb(explanation)

    async def AuditFeed(
        self, request: feed_pb2.AuditFeedRequest, context: Context
    ) -> feed_pb2.AuditFeedResponse:
        found = await self._upkeep.audit(
            UserId(request.user_id),
            repair=request.repair,
            who=convert.actor_from(auth.caller()),
        )
        return convert.audited_to_pb(found)

    async def RebuildFeed(
        self, request: feed_pb2.RebuildFeedRequest, context: Context
    ) -> feed_pb2.RebuildFeedResponse:
        rebuilt = await self._upkeep.rebuild(
            UserId(request.user_id), who=convert.actor_from(auth.caller())
        )
        return feed_pb2.RebuildFeedResponse(
            entry_count=rebuilt.entries, is_complete=rebuilt.is_complete
        )
