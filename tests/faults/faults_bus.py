"""JetStream killed, frozen, emptied, confused: F23 to F26, F28, F31."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext

from chassis.testing import eventually

from tests.faults.faults import Complaint, Fault, NotInjected, Scene

EVENTS, DEAD = "EV", "DLQ"
POISON = b"\xff\xff\xff poison"
# Part of the id of the event that kills.
DEADLY = b"deadly-"
POISONED = "ev.ingest.post_published"

COPIES = 10
RECENT = 60
# Consumers that are made to forget; of every kind, but not all: the others go on.
FORGETFUL = (
    "feed-fan-out",
    "feed-withdraw",
    "push-post-published",
    "push-post-deleted",
    "ingest-counters-post-liked",
    "ingest-counters-comment-created",
)

_numbers = count(1)


async def killed(scene: Scene) -> None:
    await scene.mesh.crash("nats")
    try:
        await asyncio.sleep(scene.seconds)
    finally:
        await scene.mesh.start("nats")


async def frozen(scene: Scene) -> None:
    async with scene.mesh.frozen("nats"):
        await asyncio.sleep(scene.seconds)


async def emptied(scene: Scene) -> None:
    """All streams and consumers are gone when it is back."""
    await scene.mesh.crash("nats")
    try:
        await scene.mesh.lose_data("nats")
        await asyncio.sleep(scene.seconds)
    finally:
        await scene.mesh.start("nats")


async def forgotten(scene: Scene) -> None:
    """Consumers lose their place and are told everything again."""
    deleted = 0
    async with scene.mesh.jetstream() as stream:
        for durable in FORGETFUL:
            with suppress(nats.js.errors.NotFoundError):
                deleted += await stream.delete_consumer(EVENTS, durable)
    if not deleted:
        raise NotInjected("there was no consumer to delete")
    await asyncio.sleep(scene.seconds)


async def poisoned(scene: Scene) -> None:
    """An event that nobody can read: each consumer of its subject buries it once,
    and the others go on."""
    payload = POISON + b" %d" % next(_numbers)
    async with scene.mesh.jetstream() as stream:
        consumers = await stream.consumers_info(EVENTS)
        wanted = {c.name for c in consumers if c.config.filter_subject == POISONED}
        if not wanted:
            raise NotInjected("nobody consumes posts yet")
        await stream.publish(POISONED, payload)

        async def buried() -> bool:
            return await burials(stream, payload) >= len(wanted)

        with suppress(AssertionError):
            await eventually(buried, timeout=20)
        found = await burials(stream, payload)
    if found != len(wanted):
        raise Complaint(f"{found} dead letters instead of {len(wanted)}")


async def burials(stream: JetStreamContext, payload: bytes) -> int:
    """How many dead letters hold the payload."""
    state = (await stream.stream_info(DEAD)).state
    found = 0
    for number in range(state.first_seq or 1, state.last_seq + 1):
        with suppress(nats.js.errors.NotFoundError):
            found += (await stream.get_msg(DEAD, number)).data == payload
    return found


async def doubled(scene: Scene) -> None:
    """The newest events ten times over, in any order, deletions first."""
    async with scene.mesh.jetstream() as stream:
        last = (await stream.stream_info(EVENTS)).state.last_seq
        events = []
        for number in range(max(1, last - RECENT), last + 1):
            with suppress(nats.js.errors.NotFoundError):
                events.append(await stream.get_msg(EVENTS, number))
        copies = [event for event in events for _ in range(COPIES)]
        scene.dice.shuffle(copies)
        copies.sort(key=lambda event: "deleted" not in (event.subject or ""))
        for event in copies:
            if event.subject and event.data and not event.data.startswith(POISON):
                await stream.publish(
                    event.subject,
                    event.data,
                    headers={"Nats-Msg-Id": f"again-{next(_numbers)}"},
                )
    if not copies:
        raise NotInjected("there was no event")


FAULTS = (
    Fault(name="F23", what="JetStream killed, back with its data", inject=killed),
    Fault(name="F24", what="JetStream frozen", inject=frozen, short=4, long=10),
    Fault(name="F25", what="JetStream back without its store", inject=emptied, long=4),
    Fault(name="F26", what="consumers deleted: all events again", inject=forgotten),
    Fault(name="F28", what="an event that cannot be read", inject=poisoned),
    Fault(name="F31", what="events ten times over, out of order", inject=doubled),
)
