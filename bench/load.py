"""Closed-loop load: N calls with a number in flight, from the bench's own process.

The CPU of this process is never counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Driven:
    """What a load came to: calls, wall seconds, latencies in seconds, sorted."""

    calls: int
    seconds: float
    latencies: list[float]

    def quantile(self, share: float) -> float:
        return self.latencies[min(self.calls - 1, int(share * self.calls))]


async def drive(
    call: Callable[[int], Awaitable[object]], *, calls: int, in_flight: int
) -> Driven:
    """Runs call(0) to call(calls - 1), `in_flight` of them at a time."""
    numbers = iter(range(calls))
    latencies: list[float] = []

    async def worker() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return Driven(calls, time.perf_counter() - began, sorted(latencies))


async def drive_open(
    call: Callable[[int], Awaitable[object]], *, calls: int, rate: float
) -> Driven:
    """Starts calls on a fixed schedule; latency counts from the intended start."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(number: int) -> None:
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        await call(number)
        latencies.append(loop.time() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(one(number))
    return Driven(calls, loop.time() - began, sorted(latencies))
