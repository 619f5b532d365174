"""Relay and fan-out killed and frozen at bad moments: F11 to F14."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from chassis.testing import eventually

from tests.faults.faults import Fault, NotInjected, Scene
from tests.faults.faults_services import back, slowed, stopped
from tests.faults.mesh import KILL
from tests.faults.world import CROWD

TRIES = 5

UNMARKED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
CLAIMED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = 'svc_ingest' AND state = 'idle in transaction'
AND state_change < clock_timestamp() - interval '0.4 seconds'
"""
PLACED = "SELECT count(*) FROM feed_entry WHERE post_id = $1"


async def relay_killed_before_mark(scene: Scene) -> None:
    """With a slow database the mark comes late after the broker's acknowledgement;
    the broker's count of events tells the moment."""

    async def hit() -> bool:
        proxies = scene.mesh.proxies.to("postgres", "ingest")
        async with scene.posting(3), slowed(proxies, 0.05):
            await _stream_grows(scene)
            scene.mesh.signal("svc_ingest", KILL)
            async with scene.mesh.database("svc_ingest") as database:
                unmarked = await database.fetchval(UNMARKED)
        await back(scene, "svc_ingest", 2)
        return bool(unmarked)

    await _until(hit, "no row was published and not marked")


async def relay_frozen(scene: Scene) -> None:
    """Stopped in the middle of a claim, for longer than Postgres lets it hold one."""

    async def hit() -> bool:
        proxies = scene.mesh.proxies.to("postgres", "ingest")
        async with scene.posting(3), slowed(proxies, 0.05):
            await _stream_grows(scene)
            pids = scene.mesh.only("svc_ingest", scene.dice.randrange(2))
            async with stopped(pids):
                await asyncio.sleep(0.6)
                async with scene.mesh.database("svc_ingest") as database:
                    held = await database.fetchval(CLAIMED)
                if held:
                    await asyncio.sleep(scene.seconds)
        return bool(held)

    await _until(hit, "no relay was caught with a claim")


async def fan_out_killed(scene: Scene) -> None:
    """Both processes die while a post to thousands is in some feeds only."""

    async def hit() -> bool:
        async with slowed(scene.mesh.proxies.to("postgres", "feed"), 0.04):
            post = await scene.world.post(scene.world.loud)
            placed = await _partly_placed(scene, post)
            scene.mesh.signal("svc_feed", KILL)
        await back(scene, "svc_feed", 2)
        return 0 < placed < CROWD

    await _until(hit, "fan-out was done before it could be killed")


async def fan_out_stalled(scene: Scene) -> None:
    """One process sleeps on what it was handed for longer than the ack wait."""
    async with slowed(scene.mesh.proxies.to("postgres", "feed"), 0.04):
        post = await scene.world.post(scene.world.loud)
        await _partly_placed(scene, post)
    pids = scene.mesh.only("svc_feed", scene.dice.randrange(2))
    async with stopped(pids):
        await asyncio.sleep(scene.seconds)


async def _until(hit: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    for _ in range(TRIES):
        if await hit():
            return
    raise NotInjected(otherwise)


async def _stream_grows(scene: Scene) -> None:
    """Waits for the next event that the broker stores."""
    async with scene.mesh.jetstream() as stream:
        before = (await stream.stream_info("EV")).state.last_seq

        async def grown() -> bool:
            return (await stream.stream_info("EV")).state.last_seq > before

        with suppress(AssertionError):
            await eventually(grown, timeout=5)


async def _partly_placed(scene: Scene, post: int) -> int:
    """Waits until a post is in some feeds; in how many."""
    found = 0
    async with scene.mesh.database("svc_feed") as database:

        async def some() -> bool:
            nonlocal found
            found = await database.fetchval(PLACED, post)
            # Its author, and those who are written first.
            return bool(found > 1)

        with suppress(AssertionError):
            await eventually(some, timeout=5)
    return found


FAULTS = (
    Fault(
        name="F11",
        what="relay killed between the broker's ack and the mark",
        inject=relay_killed_before_mark,
    ),
    Fault(
        name="F12",
        what="relay frozen for longer than it may hold a claim",
        inject=relay_frozen,
        short=11.0,
        long=14.0,
    ),
    Fault(name="F13", what="fan-out killed half-way", inject=fan_out_killed),
    Fault(
        name="F14",
        what="fan-out slower than the ack wait",
        inject=fan_out_stalled,
        long=33.0,
        least_minutes=8.0,
    ),
)
