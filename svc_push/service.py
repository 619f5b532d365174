"""PushService RPCs: request in, domain call, response out."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

from grpc.aio import ServicerContext

from feedmesh.push.v1 import push_pb2, push_pb2_grpc

from chassis import auth, paging

from . import convert
from .model import Position, UserId
from .subscriptions import Subscriptions

# Not used, and of any request and answer.
Context: TypeAlias = ServicerContext[Any, Any]


class PushService(push_pb2_grpc.PushServiceServicer):
    """Live streams, and the same for clients that poll."""

    def __init__(self, *, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions

    async def Subscribe(
        self,
        request: push_pb2.SubscribeRequest,
        context: Context,
    ) -> AsyncIterator[push_pb2.SubscribeResponse]:
        viewer = UserId(auth.require_user())
        since = Position.parse(request.position)
        async with aclosing(self._subscriptions.stream(viewer, since)) as events:
            async for event in events:
                yield push_pb2.SubscribeResponse(event=convert.event_to_pb(event))

    async def Sync(
        self,
        request: push_pb2.SyncRequest,
        context: Context,
    ) -> push_pb2.SyncResponse:
        viewer = UserId(auth.require_user())
        synced = await self._subscriptions.sync(
            viewer,
            Position.parse(request.since),
            paging.clamp(request.page_size, default=100, ceiling=1000),
        )

        return convert.synced_to_pb(synced)
