"""The end of a run: nothing is disturbed any more, and everything is read once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import nats.errors

from chassis.testing import eventually

from tests.faults import reading
from tests.faults.findings import FINAL, reaches_end
from tests.faults.history import History
from tests.faults.mesh import FaultMesh
from tests.faults.model import SETTLED, Posts
from tests.faults.people import Person
from tests.faults.tables import read_letters, read_tables
from tests.faults.world import World

# No call lives longer: after that nothing that was given up can happen any more.
DEADLINES_SECONDS = 4.0
# What a killed consumer held is delivered again after half a minute.
QUIET_SECONDS = 75.0
MOST_PAGES = 80
# A crawl that was cut short, or had something withheld, is made again.
CRAWLS = 4
DELETED_READ = 40

WAITING = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
OLDEST = """
SELECT coalesce(extract(epoch FROM clock_timestamp())
    - (1735689600 + (min(id) >> 22) / 1000.0), 0)
FROM outbox WHERE published_at IS NULL
"""


async def sample(mesh: FaultMesh, history: History, *, whole: bool = True) -> None:
    """Writes down what every process holds; with `whole` what waits in queues too."""
    begin, metrics = history.now(), await mesh.metrics()
    processes = {}
    for child in mesh.children:
        with suppress(OSError):
            processes[child.process.name] = _held(
                child.pid, metrics.get(child.process.name, {})
            )
    lag, pending = 0.0, dict[str, int]()
    if whole:
        for room in ("svc_ingest", "svc_graph"):
            async with mesh.database(room) as database:
                lag = max(lag, float(await database.fetchval(OLDEST)))
        pending = await _pending(mesh)
    history.add(
        "sampler",
        "sample",
        {},
        begin=begin,
        answer={"processes": processes, "lag": lag, "pending": pending},
    )


def _held(pid: int, metrics: Mapping[str, float]) -> dict[str, float]:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return {
        "rss": float(pages * os.sysconf("SC_PAGE_SIZE")),
        "files": float(len(os.listdir(f"/proc/{pid}/fd"))),
        "in_use": sum(v for n, v in metrics.items() if "connections_in_use" in n),
    }


async def keep_sampling(mesh: FaultMesh, history: History) -> None:
    """Every few seconds, whatever goes on."""
    while True:
        await asyncio.sleep(5)
        await sample(mesh, history, whole=False)


async def _pending(mesh: FaultMesh) -> dict[str, int]:
    """Events that each consumer has not acknowledged."""
    async with mesh.jetstream() as stream:
        return {
            consumer.name: (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
            for consumer in await stream.consumers_info("EV")
        }


async def until_quiet(mesh: FaultMesh, history: History) -> None:
    """Waits until no event is under way any more, but not for ever: what is left
    then is for the checkers to find."""
    await asyncio.sleep(DEADLINES_SECONDS)
    history.add("quiet", SETTLED, {}, begin=history.now())

    async def done() -> bool:
        for room in ("svc_ingest", "svc_graph"):
            async with mesh.database(room) as database:
                if await database.fetchval(WAITING):
                    return False
        return not any((await _pending(mesh)).values())

    with suppress(AssertionError, OSError, nats.errors.Error):
        await eventually(done, timeout=QUIET_SECONDS)


async def read_everything(mesh: FaultMesh, world: World) -> None:
    """The final reads, by everybody and of everything."""
    posts = Posts(world.history.operations)
    async with asyncio.TaskGroup() as group:
        for person in world.everybody:
            group.create_task(_read_all(person, world, posts))
    await read_tables(mesh, world, posts)
    await read_letters(mesh, world.history)
    await sample(mesh, world.history)


async def _read_all(person: Person, world: World, posts: Posts) -> None:
    for order in (reading.LATEST, reading.RANKED):
        for _ in range(CRAWLS):
            crawl = await reading.read_feed(
                person, order, pages=MOST_PAGES, size=100, phase=FINAL
            )
            if crawl and reaches_end(crawl):
                break
            await asyncio.sleep(2)
    await reading.read_user_posts(person, person.user_id, pages=MOST_PAGES, phase=FINAL)
    for post in person.dice.sample(
        sorted(posts.deleted), min(DELETED_READ, len(posts.deleted))
    ):
        await reading.read_post(person, post, phase=FINAL)
    first = next(
        (
            one.answer["position"]
            for one in world.history.of("event")
            if one.client == person.name
        ),
        "",
    )
    if first:
        await reading.read_sync(person, first, phase=FINAL)
