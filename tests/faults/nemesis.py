"""Which fault comes when, by the dice; and when the mesh is itself again after each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
import nats.errors

from chassis import ids
from chassis.clock import SystemClock
from chassis.embedded.child import EngineError
from chassis.testing import eventually

from tests.faults import (
    faults_bus,
    faults_killer,
    faults_postgres,
    faults_rank,
    faults_relay,
    faults_services,
    faults_valkey,
    reading,
    storm,
)
from tests.faults.faults import Complaint, Fault, NotInjected, Scene
from tests.faults.history import History, Window
from tests.faults.mesh import FaultMesh
from tests.faults.world import World

ALL: tuple[Fault, ...] = (
    *faults_services.FAULTS,
    *faults_relay.FAULTS,
    *faults_rank.FAULTS,
    *faults_postgres.FAULTS,
    *storm.FAULTS,
    *faults_bus.FAULTS,
    *faults_killer.FAULTS,
    *faults_valkey.FAULTS,
)
# Runs of so many minutes have the long form of the faults.
LONG_MINUTES = 8.0
GAP = (0.3, 1.2)
LONG_GAP = (1.0, 4.0)

# I10: everything is as before within a minute.
RECOVERY_SECONDS = 60.0
# Beyond what a fault lasts by itself: processes start, engines recover.
MOST_SECONDS = 90.0

# What our own connections to the engines, and their starts, may fail with.
BROKEN = (
    AssertionError,
    EngineError,
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresError,
    nats.errors.Error,
)

WAITING = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND id < $1"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Nemesis:
    """Plays faults one after the other."""

    mesh: FaultMesh
    world: World
    history: History
    dice: random.Random
    minutes: float
    say: Say
    windows: list[Window] = field(default_factory=list)
    missed: dict[str, str] = field(default_factory=dict)
    """Faults that could not be injected, and why."""

    async def run(self, wanted: Sequence[Fault]) -> None:
        """Each of these once, in an order of the dice, then any while time is left."""
        until = self.history.now() + self.minutes * 60
        order = self.dice.sample(wanted, len(wanted))
        while True:
            for fault in order:
                late = self.history.now() > until
                if late and fault.name in {w.fault for w in self.windows}:
                    continue
                await self._play(fault)
            if self.history.now() > until:
                break
            order = self.dice.sample(wanted, len(wanted))

        for fault in wanted:
            if fault.name in self.missed:
                await self._play(fault)

    async def _play(self, fault: Fault) -> None:
        is_long = self.minutes >= LONG_MINUTES
        await asyncio.sleep(self.dice.uniform(*(LONG_GAP if is_long else GAP)))
        scene = Scene(
            mesh=self.mesh,
            world=self.world,
            history=self.history,
            dice=self.dice,
            seconds=fault.long if is_long else fault.short,
        )
        begin, said = self.history.now(), ""
        try:
            async with asyncio.timeout(MOST_SECONDS + scene.seconds):
                await fault.inject(scene)
        except NotInjected as why:
            self.missed[fault.name] = str(why)
            self.say(f"{fault.name} not injected: {why}")
            return
        except Complaint as complaint:
            said = str(complaint)
        except TimeoutError:
            said = "its injection does not come to an end"
        except (*BROKEN, ExceptionGroup) as error:
            said = f"its injection broke: {error!r}"
        end = self.history.now()
        recovered = await self._recovery()
        self.missed.pop(fault.name, None)
        window = Window(
            fault=fault.name, begin=begin, end=end, recovered=recovered, said=said
        )
        self.windows.append(window)
        self.history.add(
            "nemesis", "fault", {"fault": fault.name, "ended": end}, begin=begin
        )
        took = "never" if recovered is None else f"{recovered - end:.1f} s"
        self.say(
            f"{fault.name:<4} {fault.what}: {end - begin:.1f} s, well after {took}"
            + (f"; {said}" if said else "")
        )

    async def _recovery(self) -> float | None:
        """When all was as usual; None when it was not in time."""
        try:
            await eventually(self._is_usual, timeout=RECOVERY_SECONDS)
        except AssertionError:
            return None
        return self.history.now()

    async def _is_usual(self) -> bool:
        """A post reaches a follower, ranked and labelled as such; nothing waits."""
        author, _ = self.world.probes
        text = author.key()
        done, _ = await author.once(
            "post", {"key": text}, "POST", "/posts", body={"text": text}, key=text
        )
        if not done.is_ok:
            return False
        post = done.answer["id"]
        with suppress(AssertionError):
            await eventually(lambda: self._is_shown(post), timeout=2)
            return await self._nothing_waits()
        return False

    async def _is_shown(self, post: int) -> bool:
        pages = await reading.read_feed(
            self.world.probes[1], reading.RANKED, pages=1, size=100
        )
        return (
            bool(pages)
            and pages[0].answer["as"] == "SERVED_AS_RANKED"
            and pages[0].answer["from"] != "SERVED_FROM_CACHE_ONLY"
            and post in reading.ids(pages)
        )

    async def _nothing_waits(self) -> bool:
        horizon = ids.floor_of(SystemClock().now()) - (2_000 << 22)
        for room in ("svc_ingest", "svc_graph"):
            try:
                async with self.mesh.database(room) as database:
                    if await database.fetchval(WAITING, horizon):
                        return False
            except BROKEN:
                return False
        return True


def chosen(names: Sequence[str], minutes: float) -> list[Fault]:
    """The faults of a run: those named, or all that it has room for."""
    known = {fault.name: fault for fault in ALL}
    if names:
        return [known[name] for name in names]
    return [fault for fault in ALL if fault.least_minutes <= minutes]
