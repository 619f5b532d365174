"""GraphService RPCs: request in, domain call, response out."""

from datetime import UTC
from typing import Any, Protocol, TypeAlias

from grpc.aio import ServicerContext

from feedmesh.graph.v1 import graph_pb2

from chassis import auth, paging

from . import convert
from .blocks import Blocks, Mutes
from .counters import Reconciliation
from .follows import Follows
from .imports import BulkImport, IssuedTokens
from .lists import Lists
from .model import UserId
from .relationships import Relationships
from .service_internal import InternalRpcs

# Not used, and of any request and answer.
Context: TypeAlias = ServicerContext[Any, Any]


class GraphService(InternalRpcs):
    """Edges between people. What other services call is in service_internal.py."""

    def __init__(
        self,
        *,
        follows: Follows,
        blocks: Blocks,
        mutes: Mutes,
        lists: Lists,
        relationships: Relationships,
        counters: Reconciliation,
        imports: BulkImport,
        issued: IssuedTokens,
    ) -> None:
        self._follows = follows
        self._blocks = blocks
        self._mutes = mutes
        self._lists = lists
        self._relationships = relationships
        self._counters = counters
        self._imports = imports
        self._issued = issued

    async def Follow(
        self, request: graph_pb2.FollowRequest, context: Context
    ) -> graph_pb2.FollowResponse:
        state, version = await self._follows.follow(_me(), UserId(request.user_id))
        return graph_pb2.FollowResponse(
            state=graph_pb2.FollowState.ValueType(state), graph_version=version
        )

    async def Unfollow(
        self, request: graph_pb2.UnfollowRequest, context: Context
    ) -> graph_pb2.UnfollowResponse:
        version = await self._follows.unfollow(_me(), UserId(request.user_id))
        return graph_pb2.UnfollowResponse(graph_version=version)

    async def ApproveFollower(
        self, request: graph_pb2.ApproveFollowerRequest, context: Context
    ) -> graph_pb2.ApproveFollowerResponse:
        version = await self._follows.approve(_me(), UserId(request.user_id))
        return graph_pb2.ApproveFollowerResponse(graph_version=version)

    async def DenyFollower(
        self, request: graph_pb2.DenyFollowerRequest, context: Context
    ) -> graph_pb2.DenyFollowerResponse:
        version = await self._follows.deny(_me(), UserId(request.user_id))
        return graph_pb2.DenyFollowerResponse(graph_version=version)

    async def ListFollowRequests(
        self, request: graph_pb2.ListFollowRequestsRequest, context: Context
    ) -> graph_pb2.ListFollowRequestsResponse:
        page = await self._lists.requests(
            _me(), size=_size(request), token=request.page_token
        )
        return graph_pb2.ListFollowRequestsResponse(
            users=convert.users_to_pb(page.items), next_page_token=page.next_token
        )

    async def Block(
        self, request: graph_pb2.BlockRequest, context: Context
    ) -> graph_pb2.BlockResponse:
        version = await self._blocks.block(
            _me(), UserId(request.user_id), who=convert.actor_from(auth.caller())
        )
        return graph_pb2.BlockResponse(graph_version=version)

    async def Unblock(
        self, request: graph_pb2.UnblockRequest, context: Context
    ) -> graph_pb2.UnblockResponse:
        version = await self._blocks.unblock(
            _me(), UserId(request.user_id), who=convert.actor_from(auth.caller())
        )
        return graph_pb2.UnblockResponse(graph_version=version)

    async def Mute(
        self, request: graph_pb2.MuteRequest, context: Context
    ) -> graph_pb2.MuteResponse:
        until = None
        if request.HasField("expire_time"):
            until = request.expire_time.ToDatetime(tzinfo=UTC)
        version = await self._mutes.mute(_me(), UserId(request.user_id), until=until)
        return graph_pb2.MuteResponse(graph_version=version)

    async def Unmute(
        self, request: graph_pb2.UnmuteRequest, context: Context
    ) -> graph_pb2.UnmuteResponse:
        version = await self._mutes.unmute(_me(), UserId(request.user_id))
        return graph_pb2.UnmuteResponse(graph_version=version)

    async def ListFollowers(
        self, request: graph_pb2.ListFollowersRequest, context: Context
    ) -> graph_pb2.ListFollowersResponse:
        page = await self._lists.followers(
            UserId(request.user_id),
            reader=_me(),
            size=_size(request),
            token=request.page_token,
        )
        return graph_pb2.ListFollowersResponse(
            users=convert.users_to_pb(page.items), next_page_token=page.next_token
        )

    async def ListFollowing(
        self, request: graph_pb2.ListFollowingRequest, context: Context
    ) -> graph_pb2.ListFollowingResponse:
        page = await self._lists.following(
            UserId(request.user_id),
            reader=_me(),
            size=_size(request),
            token=request.page_token,
        )
        return graph_pb2.ListFollowingResponse(
            users=convert.users_to_pb(page.items), next_page_token=page.next_token
        )

    async def ListBlocks(
        self, request: graph_pb2.ListBlocksRequest, context: Context
    ) -> graph_pb2.ListBlocksResponse:
        page = await self._lists.blocks(
            _me(), size=_size(request), token=request.page_token
        )
        return graph_pb2.ListBlocksResponse(
            users=convert.users_to_pb(page.items), next_page_token=page.next_token
        )

    async def ListMutes(
        self, request: graph_pb2.ListMutesRequest, context: Context
    ) -> graph_pb2.ListMutesResponse:
        page = await self._lists.mutes(
            _me(), size=_size(request), token=request.page_token
        )
        return graph_pb2.ListMutesResponse(
            users=convert.users_to_pb(page.items), next_page_token=page.next_token
        )


class _Sized(Protocol):
    @property
    def page_size(self) -> int: ...


def _me() -> UserId:
    return UserId(auth.require_user())


def _size(request: _Sized) -> int:
    return paging.clamp(request.page_size, default=50, ceiling=100)
