"""A storm of calls that are cancelled at random points, each under its own name."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from random import Random
from typing import TypeAlias

from chassis.errors import MeshError

# Makes one call as `owner`, and asserts that what it is answered is the owner's.
Call: TypeAlias = Callable[[str], Awaitable[None]]


class Storm:
    """Calls under way side by side; some are let through, some are cancelled."""

    def __init__(
        self,
        *,
        seed: int,
        in_flight: int,
        longest: float,
        expected: tuple[type[Exception], ...] = (MeshError,),
    ) -> None:
        """`longest`: the latest moment at which a call is cancelled, in seconds.
        `expected`: errors that calls may end with."""
        self._random = Random(seed)
        self._in_flight = in_flight
        self._longest = longest
        self._expected = expected
        self._owners = count()
        self.outcomes: Counter[str] = Counter()
        """How calls ended: "answered", "cancelled", or the name of the error."""

    async def rage(self, calls: Sequence[Call], number: int) -> None:
        """So many calls, of each kind about as many."""
        left = iter(range(number))

        async def keep_calling() -> None:
            for _ in left:
                await self._one(group, self._random.choice(calls))

        async with asyncio.TaskGroup() as group:
            for _ in range(self._in_flight):
                group.create_task(keep_calling())

    def is_both(self) -> bool:
        """Many were answered and many were cancelled: else nothing is shown."""
        few = sum(self.outcomes.values()) / 10
        return min(self.outcomes["answered"], self.outcomes["cancelled"]) > few

    async def _one(self, group: asyncio.TaskGroup, call: Call) -> None:
        owner = f"owner-{next(self._owners)}"
        task = group.create_task(self._named(call, owner))
        # One in three is let through.
        timer = None
        if self._random.randrange(3):
            wait = self._random.uniform(0, self._longest)
            timer = asyncio.get_running_loop().call_later(wait, task.cancel)
        await asyncio.wait([task])
        if timer is not None:
            timer.cancel()
        if task.cancelled():
            self.outcomes["cancelled"] += 1

    async def _named(self, call: Call, owner: str) -> None:
        try:
            await call(owner)
        except self._expected as error:
            self.outcomes[type(error).__name__] += 1
        else:
            self.outcomes["answered"] += 1
