"""Interceptors by themselves, where a whole server would show less."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from feedmesh.options.v1 import options_pb2
from feedmesh.rank.v1 import rank_pb2

from chassis import policy
from chassis.errors import InvalidArgument, ResourceExhausted, Unavailable
from chassis.interceptors.admission import AdmissionLimiter
from chassis.interceptors.base import Interceptor, Proceed, ServerCall, bind
from chassis.interceptors.validation import Validation
from chassis.testing import refuses

from tests.unit.chassis import rooms

PLAN = policy.methods()["/feedmesh.rank.v1.RankService/Rank"]
LOW = options_pb2.CRITICALITY_LOW
CRITICAL = options_pb2.CRITICALITY_CRITICAL


class Context:
    """As much of a ServicerContext as these tests touch."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def write(self, message: bytes) -> None:
        self.written.append(message)


class Noting(Interceptor):
    """Notes when a call enters and leaves it."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        self._notes.append(f"{self._name} in")
        answer = await proceed(call)
        self._notes.append(f"{self._name} out")
        return answer


async def test_first_of_the_list_is_outermost() -> None:
    """One list for all kinds of calls, in the order that it is written."""
    notes: list[str] = []
    interceptors = [Noting("a", notes), Noting("b", notes)]

    async def unary(request: Any, context: Any) -> bytes:
        notes.append("handler")
        return b"1"

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        notes.append("handler")
        yield b"1"

    made = bind("/p", PLAN, grpc.unary_unary_rpc_method_handler(unary), interceptors)
    assert made.unary_unary is not None
    answer: Any = made.unary_unary(b"", Context())  # type: ignore[arg-type]  # enough of one
    assert await answer == b"1"
    made = bind("/p", PLAN, grpc.unary_stream_rpc_method_handler(stream), interceptors)
    assert made.unary_stream is not None
    answer = made.unary_stream(b"", Context())  # type: ignore[arg-type]  # enough of one
    await answer

    assert notes == ["a in", "b in", "handler", "b out", "a out"] * 2


async def test_each_request_of_a_stream_is_validated() -> None:
    """The first wrong one ends the call; those before it were handled."""
    taken: list[Any] = []

    async def takes(requests: Any, context: Any) -> bytes:
        async for request in requests:
            taken.append(request)  # noqa: PERF401 - those before a failure count
        return b""

    async def requests() -> AsyncIterator[bytes]:
        yield rooms.RANK.SerializeToString()
        yield rank_pb2.RankRequest(viewer_id=-1).SerializeToString()
        yield rooms.RANK.SerializeToString()

    handler: Any = grpc.stream_unary_rpc_method_handler(
        takes, request_deserializer=rank_pb2.RankRequest.FromString
    )
    made = bind("/p", PLAN, handler, [Validation()])

    assert made.stream_unary is not None
    with refuses(InvalidArgument, "VALIDATION_FAILED"):
        answer: Any = made.stream_unary(requests(), Context())  # type: ignore[arg-type]  # enough of one
        await answer
    assert taken == [rooms.RANK]


def test_least_critical_calls_are_shed_first() -> None:
    """Half of the room for what may be missing, all of it for writes."""
    limiter = AdmissionLimiter(calls=10, streams=1)
    for _ in range(5):
        limiter.enter_call(LOW)
    with refuses(ResourceExhausted, "OVERLOADED"):
        limiter.enter_call(LOW)
    for _ in range(5):
        limiter.enter_call(CRITICAL)
    with refuses(ResourceExhausted, "OVERLOADED"):
        limiter.enter_call(CRITICAL)
    limiter.leave_call()

    limiter.enter_call(CRITICAL)
    assert limiter.calls_in_flight == 10


def test_unset_criticality_is_normal() -> None:
    """As the contract says."""
    limiter = AdmissionLimiter(calls=4, streams=1)
    for _ in range(3):
        limiter.enter_call(options_pb2.CRITICALITY_UNSPECIFIED)
    with refuses(ResourceExhausted, "OVERLOADED"):
        limiter.enter_call(options_pb2.CRITICALITY_UNSPECIFIED)


async def test_drain_ends_streams() -> None:
    """Those that are open, and those that come while it drains."""
    limiter = AdmissionLimiter(calls=1, streams=5)

    async def stream() -> None:
        async with limiter.stream(counted=True):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(_error_of(stream()))
        await asyncio.sleep(0)
        assert limiter.streams_in_flight == 1
        limiter.drain()

    assert isinstance(task.result(), Unavailable)
    assert isinstance(await _error_of(stream()), Unavailable)
    assert limiter.streams_in_flight == 0


async def _error_of(awaitable: Any) -> BaseException | None:
    with pytest.raises(Unavailable) as caught:
        await awaitable
    return caught.value
