"""Valkey emptied, frozen, thrown back in time: F32 to F35."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.faults import reading
from tests.faults.faults import Fault, NotInjected, Scene
from tests.faults.people import Person
from tests.faults.world import revoke

REVOKERS = 6


async def emptied(scene: Scene) -> None:
    await scene.mesh.crash("valkey")
    try:
        await scene.mesh.lose_data("valkey")
        await asyncio.sleep(scene.seconds)
    finally:
        await scene.mesh.start("valkey")


async def frozen(scene: Scene) -> None:
    async with scene.mesh.frozen("valkey"):
        await asyncio.sleep(scene.seconds)


async def thrown_back(scene: Scene) -> None:
    """It comes back as it was before people unfollowed and deleted, and they read."""
    await _read_all(scene.world.people)
    data = scene.mesh.data("valkey")
    kept = data.with_name("data.kept")
    await asyncio.to_thread(_copy, data, kept)
    revokers = await revoke(scene.world, scene.dice, REVOKERS)
    await _read_all(revokers)
    await asyncio.sleep(scene.seconds)
    await scene.mesh.crash("valkey")
    try:
        await asyncio.to_thread(shutil.rmtree, data)
        await asyncio.to_thread(shutil.move, kept, data)
    finally:
        await scene.mesh.start("valkey")
    await _read_all(revokers)


async def lost_a_second(scene: Scene) -> None:
    """The last second is gone: what was taken away in it must not come back."""
    await thrown_back(scene)


async def _read_all(people: Sequence[Person]) -> None:
    async with asyncio.TaskGroup() as group:
        for person in people:
            for order in (reading.LATEST, reading.RANKED):
                group.create_task(reading.read_feed(person, order, pages=1, size=50))


def _copy(data: Path, to: Path) -> None:
    """The files of a running server; the last line of its log may be cut."""
    for _ in range(5):
        shutil.rmtree(to, ignore_errors=True)
        # A rewrite of the log may take a file away in the middle.
        with suppress(shutil.Error, FileNotFoundError):
            shutil.copytree(data, to)
            return
    raise NotInjected("the data could not be copied")


FAULTS = (
    Fault(name="F32", what="Valkey killed, back empty", inject=emptied),
    Fault(name="F33", what="Valkey frozen", inject=frozen, short=4, long=15),
    Fault(
        name="F34",
        what="Valkey back with an old snapshot",
        inject=thrown_back,
        short=2.5,
        long=10,
    ),
    Fault(
        name="F35",
        what="Valkey without its last second",
        inject=lost_a_second,
        short=0.2,
        long=0.2,
    ),
)
