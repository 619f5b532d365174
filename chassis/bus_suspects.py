"""Events that may have killed their worker are handled alone.

A worker that dies takes a delivery from every event it had begun. So that one event
that kills does not use up the deliveries of its neighbours, those that were delivered
several times take turns: the fewer deliveries the earlier, and of the same number the
oldest first at odd ones, the newest first at even ones. Two rounds bring every
innocent one past the one that kills.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# From this delivery on an event is suspected.
SUSPECTED = 3

# What was fetched together has come by then, and the rest may finish.
_GATHER_SECONDS = 1.0


def order(attempt: int, sequence: int) -> tuple[int, int]:
    """Sorts deliveries: who comes first."""
    return attempt, sequence if attempt % 2 else -sequence


class Suspects:
    """The turns of one consumer."""

    def __init__(self, *, gather: float = _GATHER_SECONDS) -> None:
        self._gather = gather
        self._waiting: list[tuple[tuple[int, int], int, asyncio.Event]] = []
        self._count = 0
        self._busy = False

    @asynccontextmanager
    async def turn(self, *, attempt: int, sequence: int) -> AsyncIterator[None]:
        """The block runs while no other one does; at once when nobody is suspected."""
        if attempt < SUSPECTED:
            yield
            return
        self._count += 1
        granted = asyncio.Event()
        entry = (order(attempt, sequence), self._count, granted)
        heapq.heappush(self._waiting, entry)
        gathering = not self._busy
        try:
            if gathering:
                self._busy = True
                await asyncio.sleep(self._gather)
                gathering = False
                self._next()
            await granted.wait()
            yield
        finally:
            if not granted.is_set():
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            if granted.is_set() or gathering:
                self._next()

    def _next(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[-1].set()
        else:
            self._busy = False
