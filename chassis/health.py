"""grpc.health.v1: Check, Watch and List, for the server and for each service."""

from collections.abc import Iterable
from typing import Any

from grpc.aio import ServicerContext
from grpc_health.v1 import health, health_pb2

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health(health.aio.HealthServicer):
    """grpcio's servicer, with the List that it leaves out.

    Report once before the server starts. Once draining begins nothing serves again.
    """

    def __init__(self, services: Iterable[str]) -> None:
        super().__init__()
        self._names = ("", *services)
        self._is_serving = self._is_draining = False

    async def List(  # noqa: N802 - the RPC's name
        self,
        request: Any,  # the published types end before List
        context: "ServicerContext[Any, Any]",
    ) -> Any:
        """The status of every service, the server itself under the empty name."""
        status = health_pb2.HealthCheckResponse(
            status=SERVING if self._is_serving else NOT_SERVING
        )
        return health_pb2.HealthListResponse(  # type: ignore[attr-defined]  # as above
            statuses=dict.fromkeys(self._names, status)
        )

    async def report(self, *, is_ready: bool) -> None:
        """Says whether calls should be sent here."""
        self._is_serving = is_ready and not self._is_draining
        for name in self._names:
            await self.set(name, SERVING if is_ready else NOT_SERVING)

    async def drain(self) -> None:
        """NOT_SERVING from now on, whatever is reported."""
        self._is_draining, self._is_serving = True, False
        await self.enter_graceful_shutdown()
