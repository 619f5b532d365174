"""F29: an event whose worker dies of it, every time, until the broker gives it up."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from itertools import count

import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from feedmesh.ingest.v1 import events_pb2

from chassis.testing import eventually

from tests.faults.faults import Complaint, Fault, NotInjected, Scene
from tests.faults.faults_bus import DEADLY, EVENTS, burials
from tests.faults.mesh import KILL

SUBJECT, DURABLE = "ev.ingest.post_deleted", "push-post-deleted"
GIVEN_UP = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{EVENTS}.{DURABLE}"
# More than the deliveries that an event has.
DEATHS = 24
# No post has such an id: it is older than the epoch of ids.
NOBODYS = 7

_numbers = count(1)


async def deadly(scene: Scene) -> None:
    """svc_push is killed whenever it was handed the event.

    Its Valkey is out of reach meanwhile, so that it cannot be done before it dies. A
    negative acknowledgement in the dead worker's name saves the wait of half a minute
    for the next delivery.
    """
    proxies = scene.mesh.proxies.to("valkey", "push")
    event = events_pb2.PostDeleted(post_id=NOBODYS, author_id=NOBODYS)
    event.envelope.event_id = f"{DEADLY.decode()}{next(_numbers)}"
    payload = event.SerializeToString()
    async with scene.mesh.nats() as client:
        stream = client.jetstream(timeout=5)
        try:
            for proxy in proxies:
                proxy.freeze()
            sequence = (await stream.publish(SUBJECT, payload)).seq
            await _killing(scene, client, sequence)
        finally:
            for proxy in proxies:
                proxy.heal()

        async def buried() -> bool:
            return await burials(stream, payload) == 1

        with suppress(AssertionError):
            await eventually(buried, timeout=30)
        if not await buried():
            raise Complaint(f"event {sequence}, given up, is no dead letter")


async def _killing(scene: Scene, client: Client, sequence: int) -> None:
    """Until the broker says that it gave the event up."""
    stream, delivered = client.jetstream(timeout=5), 0
    for _ in range(DEATHS):

        async def handed_over(before: int = delivered) -> bool:
            info = await stream.consumer_info(EVENTS, DURABLE)
            assert info.delivered is not None
            is_there = info.delivered.stream_seq >= sequence
            return bool(is_there and info.delivered.consumer_seq > before)

        with suppress(AssertionError):
            await eventually(handed_over, timeout=15)
        scene.mesh.signal("svc_push", KILL)
        info = await stream.consumer_info(EVENTS, DURABLE)
        assert info.delivered is not None
        delivered = info.delivered.consumer_seq
        if await _is_given_up(stream, sequence):
            return
        # What only the worker would say: its message, of its last delivery.
        of = f"{EVENTS}.{DURABLE}.1.{sequence}.{delivered}.0.0"
        await client.publish(f"$JS.ACK.{of}", b'-NAK {"delay": 1000000}')
        await asyncio.sleep(0.2)
    raise NotInjected(f"event {sequence} was not given up after {DEATHS} deaths")


async def _is_given_up(stream: JetStreamContext, sequence: int) -> bool:
    with suppress(nats.js.errors.NotFoundError):
        last = await stream.get_last_msg("ADV", GIVEN_UP)
        said: dict[str, object] = json.loads(last.data or b"{}")
        return said.get("stream_seq") == sequence
    return False


FAULTS = (
    Fault(
        name="F29",
        what="an event that kills its worker",
        inject=deadly,
        long=90.0,
        least_minutes=8.0,
    ),
)
