"""Services killed and frozen while people wait for them: F2 to F5."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from chassis.testing import FaultProxy, eventually

from tests.faults.faults import Fault, Scene
from tests.faults.mesh import CONT, KILL, STOP


@asynccontextmanager
async def slowed(proxies: list[FaultProxy], seconds: float) -> AsyncIterator[None]:
    """Every piece of data takes so long, for the length of the block."""
    try:
        for proxy in proxies:
            proxy.delay(seconds)
        yield
    finally:
        for proxy in proxies:
            proxy.heal()


@asynccontextmanager
async def stopped(pids: list[int]) -> AsyncIterator[None]:
    """SIGSTOP for the length of the block."""
    try:
        for pid in pids:
            os.kill(pid, STOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, CONT)


async def back(scene: Scene, name: str, count: int) -> None:
    """Waits until so many processes of a service run again."""
    await eventually(lambda: len(scene.mesh.pids(name)) == count, timeout=30)


async def killed_before_reply(scene: Scene) -> None:
    """Replies are held back, so that what is committed by then is not known of."""
    proxies = scene.mesh.proxies.to("ingest", "gateway")
    async with scene.posting():
        try:
            for proxy in proxies:
                proxy.hold_answers()
            await asyncio.sleep(scene.dice.uniform(0.1, 0.4))
            scene.mesh.signal("svc_ingest", KILL)
            for proxy in proxies:
                proxy.reset()
        finally:
            for proxy in proxies:
                proxy.heal()
        await back(scene, "svc_ingest", 2)


async def frozen_past_deadline(scene: Scene) -> None:
    async with scene.posting(), scene.mesh.frozen("svc_ingest"):
        await asyncio.sleep(scene.seconds)


async def graph_frozen(scene: Scene) -> None:
    async with scene.mesh.frozen("svc_graph"):
        await asyncio.sleep(scene.seconds)


async def redeployed(scene: Scene) -> None:
    """One process is killed, and when it is back the other one is drained."""
    scene.mesh.signal("svc_feed-1", KILL)
    await asyncio.sleep(scene.seconds / 2)
    await back(scene, "svc_feed", 2)
    await asyncio.sleep(1.5)
    for pid in scene.mesh.only("svc_feed"):
        os.kill(pid, signal.SIGTERM)
    await asyncio.sleep(scene.seconds / 2)
    await back(scene, "svc_feed", 2)


FAULTS = (
    Fault(
        name="F2",
        what="svc_ingest killed between commit and reply",
        inject=killed_before_reply,
    ),
    Fault(
        name="F3",
        what="svc_ingest frozen past its callers' deadline",
        inject=frozen_past_deadline,
        short=3.0,
        long=6.0,
    ),
    Fault(name="F4", what="svc_graph frozen", inject=graph_frozen, short=2.0),
    Fault(
        name="F5", what="svc_feed killed, then drained, under load", inject=redeployed
    ),
)
