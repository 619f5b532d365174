"""`meshctl dlq`: what no consumer could handle is found, read and sent again."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import pytest

from feedmesh.ingest.v1.events_pb2 import CommentDeleted

from chassis import dead_letters
from chassis.bus import Bus, NatsSettings, open_bus
from chassis.clock import SystemClock
from chassis.dead_letter_table import DeadLetterTable
from chassis.embedded import nats
from chassis.embedded.engines import Ports
from chassis.postgres import PostgresSettings, open_pool
from chassis.testing import eventually

from meshctl.layout import Layout
from tests.support.mesh import Mesh, run_meshctl

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBJECT = "ev.ingest.comment_deleted"
# A length that promises more than there is.
UNREADABLE = b"\x0a\xff"


def where(mesh: Mesh) -> tuple[str, ...]:
    return "--data", str(mesh.data), "--port-offset", str(mesh.offset)


@asynccontextmanager
async def bus_of(mesh: Mesh) -> AsyncIterator[Bus]:
    url = nats.url(
        Layout(mesh.data).engines / "nats", port=Ports().shifted(mesh.offset).nats
    )
    async with open_bus(NatsSettings(url=url), name="test") as bus:
        yield bus


@asynccontextmanager
async def table_of(mesh: Mesh, room: str) -> AsyncIterator[DeadLetterTable]:
    url = urlunsplit(urlsplit(mesh.postgres_url)._replace(path=f"/{room}"))
    async with open_pool(PostgresSettings(url=url, min_size=1)) as pool:
        yield DeadLetterTable(pool=pool)


async def names(mesh: Mesh, subject: str, *filters: str) -> list[str]:
    """First column of the letters of a subject."""
    listed = await run_meshctl("dlq", "list", *filters, *where(mesh))
    lines = [line.strip() for line in listed.splitlines() if subject in line]
    return [re.split(r"\s+", line)[0] for line in lines]


async def test_an_unreadable_event_is_listed_shown_and_sent_again(mesh: Mesh) -> None:
    """It goes to the dead letters at once, with its error and its bytes."""
    async with bus_of(mesh) as bus:
        await bus.publish(SUBJECT, UNREADABLE, msg_id=f"unreadable-{mesh.offset}")

    async def listed(count: int) -> list[str]:
        found = await names(mesh, SUBJECT)
        assert len(found) == count
        return found

    (first,) = await eventually(lambda: listed(1), timeout=30)
    shown = await run_meshctl("dlq", "show", first, *where(mesh))
    sent = await run_meshctl("dlq", "replay", first, *where(mesh))

    assert first.startswith("ingest-")
    assert SUBJECT in shown
    assert UNREADABLE.hex() in shown
    assert f"{first} sent again on {SUBJECT}" in sent
    await eventually(lambda: listed(2), timeout=30)
    assert first not in await names(mesh, SUBJECT, "--waiting")


async def test_letters_are_sent_again_by_what_they_name(mesh: Mesh) -> None:
    """Once each, however often the filter is used; each keeps its event id."""
    author = mesh.offset
    event = CommentDeleted(comment_id=1, post_id=2, author_id=author)
    event.envelope.event_id = f"test-{mesh.offset}"
    now = SystemClock().now()
    letter = dead_letters.letter(
        durable="feed-test",
        subject=SUBJECT,
        sequence=author,
        stored_at=now,
        payload=event.SerializeToString(),
        headers={},
        attempts=8,
        error=("RuntimeError", "it was Monday"),
        died_at=now,
    )
    async with table_of(mesh, "svc_feed") as feed, table_of(mesh, "svc_ingest") as desk:
        await feed.keep(letter)
        # The desk had the server's word for it as well.
        await desk.keep(replace(letter, error="MaxDeliveries"))

    (name,) = await names(mesh, SUBJECT, "--author", str(author), "--since", "1h")
    shown = await run_meshctl("dlq", "show", name, *where(mesh))
    filters = ("--event", event.envelope.event_id, *where(mesh))
    sent = await run_meshctl("dlq", "replay", *filters)
    repeated = await run_meshctl("dlq", "replay", *filters)
    again = await run_meshctl("dlq", "replay", "--again", *filters)

    assert name.startswith("feed-")
    assert "RuntimeError: it was Monday" in shown
    assert '"commentId": "1"' in shown
    assert sent == f"{name} sent again on {SUBJECT}\n"
    assert repeated == "no dead letters\n"
    assert again == sent
    async with bus_of(mesh) as bus:
        last = (await bus.stream_state()).last
        latest = range(max(1, last - 20), last + 1)
        found = [await bus.event_at(sequence) for sequence in latest]
    ids = [
        CommentDeleted.FromString(raw.data or b"").envelope.event_id
        for raw in found
        if raw is not None and raw.subject == SUBJECT and raw.data != UNREADABLE
    ]
    assert ids.count(event.envelope.event_id) == 2


async def test_readers_and_authors_are_named_by_handle_too(mesh: Mesh) -> None:
    """An operator knows people by their names."""
    listed = await run_meshctl("dlq", "list", "--reader", "ann", *where(mesh))

    assert listed == "no dead letters\n"
