"""GraphService RPCs of other services and of tools."""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

from grpc.aio import ServicerContext

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc

from chassis import auth, paging

from . import convert
from .counters import Reconciliation
from .imports import BulkImport, IssuedTokens
from .model import UserId, Version
from .relationships import Relationships

# Not used, and of any request and answer.
Context: TypeAlias = ServicerContext[Any, Any]


TOKEN_SECONDS = 3600
EDGES_PAGE = 1_000
PEOPLE_CHECKED = 500
MOST_PEOPLE_CHECKED = 1_000


class InternalRpcs(graph_pb2_grpc.GraphServiceServicer):
    """The half of GraphService that no person calls."""

    _counters: Reconciliation
    _imports: BulkImport
    _issued: IssuedTokens
    _relationships: Relationships

    async def ImportUsers(
        self, request: graph_pb2.ImportUsersRequest, context: Context
    ) -> graph_pb2.ImportUsersResponse:
        user_ids, created = await self._imports.users(
            [(user.handle, user.display_name) for user in request.users],
            who=convert.actor_from(auth.caller()),
        )
        return graph_pb2.ImportUsersResponse(user_ids=user_ids, created_count=created)

    async def ImportFollows(
        self, request: graph_pb2.ImportFollowsRequest, context: Context
    ) -> graph_pb2.ImportFollowsResponse:
        imported = await self._imports.follows(
            [UserId(user) for user in request.follower_ids],
            [UserId(user) for user in request.followee_ids],
            who=convert.actor_from(auth.caller()),
        )
        return graph_pb2.ImportFollowsResponse(
            created_count=imported.created_count, graph_version=imported.version
        )

    async def IssueToken(
        self, request: graph_pb2.IssueTokenRequest, context: Context
    ) -> graph_pb2.IssueTokenResponse:
        issued = await self._issued.issue(
            request.handle,
            is_service=request.service,
            is_admin=request.admin,
            ttl=max(1, request.ttl.seconds)
            if request.HasField("ttl")
            else TOKEN_SECONDS,
            who=convert.actor_from(auth.caller()),
        )
        response = graph_pb2.IssueTokenResponse(
            access_token=issued.access_token, user_id=issued.user_id
        )
        response.expires_in.FromSeconds(issued.expires_in)
        return response

    async def ReconcileCounters(
        self, request: graph_pb2.ReconcileCountersRequest, context: Context
    ) -> graph_pb2.ReconcileCountersResponse:
        after = UserId(request.after_user_id)
        size = paging.clamp(
            request.page_size, default=PEOPLE_CHECKED, ceiling=MOST_PEOPLE_CHECKED
        )
        if request.repair:
            who = convert.actor_from(auth.caller())
            checked = await self._counters.repair(after=after, size=size, who=who)
        else:
            checked = await self._counters.check(after=after, size=size)
        return graph_pb2.ReconcileCountersResponse(
            checked_count=checked.count,
            drifts=map(convert.drift_to_pb, checked.drifts),
            last_user_id=checked.last if checked.count == size else 0,
        )

    async def GetRelations(
        self, request: graph_pb2.GetRelationsRequest, context: Context
    ) -> graph_pb2.GetRelationsResponse:
        relations, version = await self._relationships.of(
            UserId(request.viewer_id),
            [UserId(user) for user in request.user_ids],
        )
        return graph_pb2.GetRelationsResponse(
            relations=map(convert.relation_to_pb, relations), graph_version=version
        )

    async def StreamFollowers(
        self, request: graph_pb2.StreamFollowersRequest, context: Context
    ) -> AsyncIterator[graph_pb2.StreamFollowersResponse]:
        size = paging.clamp(request.page_size, default=EDGES_PAGE, ceiling=EDGES_PAGE)
        async for page in self._relationships.followers(
            UserId(request.user_id), size=size, after=UserId(request.after_user_id)
        ):
            yield graph_pb2.StreamFollowersResponse(follower_ids=page)

    async def StreamFollowing(
        self, request: graph_pb2.StreamFollowingRequest, context: Context
    ) -> AsyncIterator[graph_pb2.StreamFollowingResponse]:
        size = paging.clamp(request.page_size, default=EDGES_PAGE, ceiling=EDGES_PAGE)
        async for page in self._relationships.following(
            UserId(request.user_id), size=size, after=UserId(request.after_user_id)
        ):
            yield convert.following_to_pb(page)

    async def GetReach(
        self, request: graph_pb2.GetReachRequest, context: Context
    ) -> graph_pb2.GetReachResponse:
        reach = await self._relationships.reach(UserId(request.user_id))
        return graph_pb2.GetReachResponse(
            follower_count=reach.follower_count,
            is_celebrity=reach.is_celebrity,
            is_fanned_out=reach.is_fanned_out,
            following_count=reach.following_count,
        )

    async def CompleteReachChange(
        self, request: graph_pb2.CompleteReachChangeRequest, context: Context
    ) -> graph_pb2.CompleteReachChangeResponse:
        is_completed = await self._relationships.complete_reach_change(
            UserId(request.user_id), Version(request.reach_version)
        )
        return graph_pb2.CompleteReachChangeResponse(is_completed=is_completed)

    async def ListFollowedCelebrities(
        self,
        request: graph_pb2.ListFollowedCelebritiesRequest,
        context: Context,
    ) -> graph_pb2.ListFollowedCelebritiesResponse:
        found = await self._relationships.followed_celebrities(
            UserId(request.viewer_id)
        )
        return graph_pb2.ListFollowedCelebritiesResponse(user_ids=found)
