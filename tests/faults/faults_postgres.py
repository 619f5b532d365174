"""Postgres killed, frozen, cut off: F15, F16, F19, F20, F30."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from feedmesh.ingest.v1 import events_pb2

from chassis import ids
from chassis.clock import SystemClock
from chassis.testing import eventually

from tests.faults.faults import Complaint, Fault, NotInjected, Scene

CUTS = 4

A_POST = """
SELECT subject, payload FROM outbox
WHERE subject = 'ev.ingest.post_published' AND published_at IS NOT NULL
ORDER BY id DESC LIMIT 1
"""
LATE = """
INSERT INTO outbox (id, subject, payload, trace, request_id)
VALUES ($1, $2, $3, '', '')
"""
PUBLISHED = "SELECT published_at FROM outbox WHERE id = $1"
LATER = "SELECT count(*) FROM outbox WHERE id > $1 AND published_at IS NOT NULL"


async def killed(scene: Scene) -> None:
    await scene.mesh.crash("postgres")
    try:
        await asyncio.sleep(scene.seconds)
    finally:
        await scene.mesh.start("postgres")


async def frozen(scene: Scene) -> None:
    async with scene.mesh.frozen("postgres"):
        await asyncio.sleep(scene.seconds)


async def cut_after_commit(scene: Scene) -> None:
    """The server commits, and whoever asked is never told."""
    proxies = scene.mesh.proxies.to("postgres", "ingest", "graph")
    before = sum(proxy.cut for proxy in proxies)
    try:
        for proxy in proxies:
            proxy.cut_after(b"COMMIT", times=CUTS)
        async with scene.posting():
            await asyncio.sleep(scene.seconds)
    finally:
        for proxy in proxies:
            proxy.heal()
    if sum(proxy.cut for proxy in proxies) == before:
        raise NotInjected("nobody committed")


async def held_open(scene: Scene) -> None:
    """An event with an early id is committed when later ones were published."""
    own = ids.floor_of(SystemClock().now())
    async with scene.mesh.database("svc_ingest") as database:
        event = await database.fetchrow(A_POST)
        if event is None:
            raise NotInjected("no post was published yet")
        async with database.transaction():
            await database.execute(
                LATE, own, event["subject"], _again(own, event["payload"])
            )
            async with scene.posting():
                await asyncio.sleep(scene.seconds)

        async def published() -> bool:
            return await database.fetchval(PUBLISHED, own) is not None

        later = await database.fetchval(LATER, own)
        with suppress(AssertionError):
            await eventually(published, timeout=10)
        if not await published():
            raise Complaint(f"event {own}, committed late, is not published")
    if not later:
        raise NotInjected("nothing was published while the transaction was open")


def _again(own: int, payload: bytes) -> bytes:
    """The same event under another id."""
    parsed = events_pb2.PostPublished.FromString(payload)
    source, _, _ = parsed.envelope.event_id.rpartition("-")
    parsed.envelope.event_id = f"{source}-{own}"
    return parsed.SerializeToString()


async def longer_than_the_ladder(scene: Scene) -> None:
    """What the consumers of svc_feed write to is away; that is nobody's fault who
    waits to be placed."""
    proxies = scene.mesh.proxies.to("postgres", "feed")
    before = await _dead_letters(scene)
    try:
        for proxy in proxies:
            proxy.freeze()
        await asyncio.sleep(scene.seconds)
    finally:
        for proxy in proxies:
            proxy.heal()
    if (after := await _dead_letters(scene)) > before:
        raise Complaint(f"an outage made {after - before} dead letters")


async def _dead_letters(scene: Scene) -> int:
    async with scene.mesh.jetstream() as stream:
        return (await stream.stream_info("DLQ")).state.messages


FAULTS = (
    Fault(name="F15", what="Postgres killed, back with its data", inject=killed),
    Fault(name="F16", what="Postgres frozen", inject=frozen, short=5, long=60),
    Fault(
        name="F19",
        what="connections cut after COMMIT was sent",
        inject=cut_after_commit,
        short=2,
        long=6,
    ),
    Fault(
        name="F20",
        what="an early id committed late",
        inject=held_open,
        short=2,
        long=6,
    ),
    Fault(
        name="F30",
        what="an outage longer than the first rungs of the retry ladder",
        inject=longer_than_the_ladder,
        short=8,
        long=45,
    ),
)
