"""Load from the bench's own process, whose CPU is never counted."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc.aio

from chassis.errors import MeshError

from bench.http import HttpError

# What a service answers instead.
FAILURES = (grpc.aio.AioRpcError, MeshError, HttpError)
# Share of calls that may fail; it is shown.
TOLERATED = 0.02

Call = Callable[[int], Awaitable[object]]


@dataclass(frozen=True)
class Driven:
    """What a load came to: calls, wall seconds, latencies in seconds, sorted."""

    calls: int
    seconds: float
    latencies: list[float]
    failed: int
    """Calls among them that a service refused or did not answer."""

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    def quantile(self, share: float) -> float:
        return quantile(self.latencies, share)


async def drive(call: Call, *, calls: int, in_flight: int) -> Driven:
    """Runs call(0) to call(calls - 1), `in_flight` of them at a time."""
    numbers = iter(range(calls))
    latencies: list[float] = []
    failures: list[Exception] = []

    async def worker() -> None:
        for number in numbers:
            began = time.perf_counter()
            try:
                await call(number)
            except FAILURES as failure:
                failures.append(failure)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    seconds = time.perf_counter() - began
    return _driven(calls, seconds, latencies, failures)


async def drive_open(call: Call, *, calls: int, rate: float) -> Driven:
    """Starts calls on a fixed schedule; latency counts from the intended start."""
    latencies: list[float] = []
    failures: list[Exception] = []
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(number: int) -> None:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        try:
            await call(number)
        except FAILURES as failure:
            failures.append(failure)
        latencies.append(loop.time() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(one(number))
    return _driven(calls, loop.time() - began, latencies, failures)


def _driven(
    calls: int, seconds: float, latencies: list[float], failures: list[Exception]
) -> Driven:
    """What was driven, unless too much of it failed."""
    if len(failures) > calls * TOLERATED:
        raise RuntimeError(f"{len(failures)} of {calls} calls failed") from failures[0]
    return Driven(calls, seconds, sorted(latencies), len(failures))


def quantile(ordered: list[float], share: float) -> float:
    """The value that `share` of a sorted list is at or below."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
