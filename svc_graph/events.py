"""Consumers of our own events: what is too much for the call that began it."""

from datetime import UTC

from feedmesh.graph.v1 import events_pb2

from .model import UserId
from .sweeping import Aftermath


class EraseUser:
    """Voids the tokens of a deleted person and erases their edges.

    Safe to repeat: what is erased is not there the second time.
    """

    event = events_pb2.UserDeleted
    durable = "graph-erase-user"

    def __init__(self, *, aftermath: Aftermath) -> None:
        self._aftermath = aftermath

    async def handle(self, event: events_pb2.UserDeleted) -> None:
        at = event.envelope.occurred_at.ToDatetime(tzinfo=UTC)
        await self._aftermath.of_deletion(UserId(event.user_id), at=at)


class EndSessions:
    """Voids the tokens of a suspended person.

    Safe to repeat: the time up to which tokens are void only grows.
    """

    event = events_pb2.UserSuspended
    durable = "graph-end-sessions"

    def __init__(self, *, aftermath: Aftermath) -> None:
        self._aftermath = aftermath

    async def handle(self, event: events_pb2.UserSuspended) -> None:
        at = event.envelope.occurred_at.ToDatetime(tzinfo=UTC)
        await self._aftermath.of_suspension(UserId(event.user_id), at=at)


class AcceptRequests:
    """Turns the open requests to an account that went public into follows.

    Safe to repeat: an accepted request is gone.
    """

    event = events_pb2.UserUpdated
    durable = "graph-accept-requests"

    def __init__(self, *, aftermath: Aftermath) -> None:
        self._aftermath = aftermath

    async def handle(self, event: events_pb2.UserUpdated) -> None:
        if not event.is_private:
            await self._aftermath.of_going_public(UserId(event.user_id))
