"""Load is shed before it hurts: the least critical calls first, early and cheaply."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

from feedmesh.options.v1 import options_pb2

from chassis.errors import ResourceExhausted, Unavailable
from chassis.interceptors.base import Interceptor, Proceed, ServerCall
from chassis.policy import MethodPlan

# Share of the limit that calls may fill, by criticality: what is above is kept for
# what is more critical.
SHARES = {
    options_pb2.CRITICALITY_LOW: 0.5,
    options_pb2.CRITICALITY_NORMAL: 0.75,
    options_pb2.CRITICALITY_HIGH: 0.9,
    options_pb2.CRITICALITY_CRITICAL: 1.0,
}

# Seconds after which a refused caller may come back; spread, so that not all do.
BACK_AFTER = (0.2, 1.0)


class AdmissionLimiter:
    """Counts what is served at the same time; unary calls and streams apart."""

    def __init__(self, *, calls: int, streams: int) -> None:
        self._ceilings = {
            criticality: max(1, int(calls * share))
            for criticality, share in SHARES.items()
        }
        self._streams = streams
        self._open: set[asyncio.Timeout] = set()
        self._is_draining = False
        self.calls_in_flight = 0
        self.streams_in_flight = 0

    def enter_call(self, criticality: "options_pb2.Criticality.ValueType") -> None:
        """Takes a place for a call; ResourceExhausted when there is none for it.

        Whoever enters leaves again.
        """
        ceiling = self._ceilings.get(
            criticality, self._ceilings[options_pb2.CRITICALITY_NORMAL]
        )
        if self.calls_in_flight >= ceiling:
            raise _refusal("OVERLOADED", "the service sheds load")
        self.calls_in_flight += 1

    def leave_call(self) -> None:
        """Gives the place back."""
        self.calls_in_flight -= 1

    @contextlib.asynccontextmanager
    async def stream(self, *, counted: bool) -> AsyncIterator[None]:
        """A place for a stream that nobody but its caller, or drain, ends.

        ResourceExhausted when no place is left, Unavailable when it is drained.
        """
        if counted and self.streams_in_flight >= self._streams:
            raise _refusal("STREAM_LIMIT", "too many live streams")
        self.streams_in_flight += counted
        ending = asyncio.timeout(0 if self._is_draining else None)
        self._open.add(ending)
        try:
            async with ending:
                yield
        except TimeoutError as error:
            if not ending.expired():
                raise
            raise Unavailable("OVERLOADED", "the server drains") from error
        finally:
            self._open.discard(ending)
            self.streams_in_flight -= counted

    def drain(self) -> None:
        """Ends every stream, so that its caller goes on elsewhere."""
        self._is_draining = True
        now = asyncio.get_running_loop().time()
        for ending in self._open:
            ending.reschedule(now)


class Admission(Interceptor):
    """Lets a call in while there is room for one of its criticality."""

    def __init__(self, *, limiter: AdmissionLimiter) -> None:
        self._limiter = limiter

    def covers(self, plan: MethodPlan | None) -> bool:
        return True

    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        plan = call.plan
        if plan is None or plan.is_long_lived:
            if not call.is_response_stream and plan is None:
                return await proceed(call)
            async with self._limiter.stream(counted=plan is not None):
                return await proceed(call)

        self._limiter.enter_call(plan.policy.criticality)
        try:
            return await proceed(call)
        finally:
            self._limiter.leave_call()


def _refusal(reason: str, message: str) -> ResourceExhausted:
    return ResourceExhausted(
        reason,
        message,
        retry_after=random.uniform(*BACK_AFTER),
    )
