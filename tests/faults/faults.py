"""What a fault is, and the scene it is played on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.faults.history import History
from tests.faults.mesh import FaultMesh
from tests.faults.world import World, burst


class NotInjected(Exception):
    """The fault did not come about; the message says why. Not the product's fault."""


class Complaint(Exception):
    """The mesh did not do what the matrix of faults expects of this one."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The mesh, its people, and the dice of this run."""

    mesh: FaultMesh
    world: World
    history: History
    dice: random.Random
    seconds: float
    """How long this fault is to last."""

    @asynccontextmanager
    async def posting(self, count: int = 5) -> AsyncIterator[None]:
        """Several people post while the block runs; at its end it waits until all
        know what came of it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(burst(self.world, self.dice, count))
            yield


Inject = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the matrix."""

    name: str
    """As in the matrix: F15."""

    what: str
    inject: Inject
    """From the start of the fault until it is taken away. Raises Complaint."""

    short: float = 2.0
    """Seconds it lasts in a short run."""

    long: float = 8.0
    """Seconds it lasts in a run of ten minutes and more."""

    least_minutes: float = 0.0
    """A run shorter than that has no room for it."""
