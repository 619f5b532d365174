"""How the services behind the gateway are, by their own health service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from grpc.aio import Channel
from grpc_health.v1 import health_pb2

from chassis.clock import Clock
from chassis.errors import MeshError, Unavailable

CHECK = "/grpc.health.v1.Health/Check"
SERVING = "SERVING"

# An answer is good for so many seconds, so that probes do not add up.
FRESH = 1.0
TIMEOUT = 0.5


class UpstreamHealth:
    """The state of each upstream: SERVING, NOT_SERVING, or the status of a failure."""

    def __init__(self, *, channels: Mapping[str, Channel], clock: Clock) -> None:
        self._checks: dict[str, Any] = {
            room: channel.unary_unary(
                CHECK,
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            for room, channel in channels.items()
        }
        self._clock = clock
        self._asking = asyncio.Lock()
        self._known: dict[str, str] = {}
        self._known_at = float("-inf")

    async def states(self) -> Mapping[str, str]:
        """By room; at most a second old. Concurrent askers share one round."""
        async with self._asking:
            if self._clock.monotonic() - self._known_at > FRESH:
                states = await asyncio.gather(*map(self._ask, self._checks.values()))
                self._known = dict(zip(self._checks, states, strict=True))
                self._known_at = self._clock.monotonic()
            return self._known

    async def require(self, room: str) -> None:
        """Unavailable unless the upstream serves."""
        state = (await self.states())[room]
        if state != SERVING:
            raise Unavailable("DEPENDENCY_UNAVAILABLE", f"{room} is {state}")

    @staticmethod
    async def _ask(check: Any) -> str:
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
        except MeshError as error:
            return error.status
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
