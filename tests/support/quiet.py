"""Waiting until a mesh has come to rest: nothing in an outbox, nothing unhandled."""

from typing import Any

import httpx

from chassis.embedded.engines import Ports
from chassis.testing import eventually

from tests.support.mesh import Mesh

# Longer than a message stays with a worker that was killed with it.
QUIET_SECONDS = 60
WAITING = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
PUBLISHERS = ("svc_graph", "svc_ingest", "svc_feed")


async def quiet(mesh: Mesh, consumers: str = "") -> None:
    """Returns when every event so far was handled, and what came of it too.

    `consumers`: only those whose names begin so have to have handled it.
    """

    async def at_rest() -> None:
        before = await consumed(mesh, consumers)
        waiting = [await mesh.fetch(room, WAITING) for room in PUBLISHERS]
        assert waiting == [[0]] * len(PUBLISHERS), f"outboxes hold {waiting}"
        # Handling one event may publish another: then the stream has grown.
        assert await consumed(mesh, consumers) == before, "events go on"

    await eventually(at_rest, timeout=QUIET_SECONDS)


async def consumed(mesh: Mesh, consumers: str) -> int:
    """Last sequence of the events, all of which must have been handled."""
    port = Ports().shifted(mesh.offset).nats_monitor
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(
                f"http://127.0.0.1:{port}/jsz", params={"consumers": "true"}
            )
    except httpx.TransportError as error:
        raise AssertionError("nats does not answer") from error
    (stream,) = [
        stream
        for account in answer.json().get("account_details", [])
        for stream in account.get("stream_detail", [])
        if stream["name"] == "EV"
    ]
    left = dict(map(_left, stream["consumer_detail"]))
    busy = {n: count for n, count in left.items() if count and n.startswith(consumers)}
    assert not busy, f"consumers are behind: {busy}"
    return int(stream["state"]["last_seq"])


def _left(consumer: dict[str, Any]) -> tuple[str, int]:
    return consumer["name"], consumer["num_pending"] + consumer["num_ack_pending"]
