"""`meshctl dlq`: what no consumer could handle is found, read and sent again."""

import re

import pytest

from chassis.bus import NatsSettings, open_bus
from chassis.embedded import nats
from chassis.embedded.engines import Ports
from chassis.testing import eventually

from meshctl.layout import Layout
from tests.support.mesh import Mesh, run_meshctl

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

SUBJECT = "ev.ingest.comment_deleted"
# A length that promises more than there is.
UNREADABLE = b"\x0a\xff"


async def test_an_unreadable_event_is_listed_shown_and_sent_again(mesh: Mesh) -> None:
    """It goes to the dead letters at once, with its error and its bytes."""
    where = ("--data", str(mesh.data), "--port-offset", str(mesh.offset))
    url = nats.url(
        Layout(mesh.data).engines / "nats", port=Ports().shifted(mesh.offset).nats
    )
    async with open_bus(NatsSettings(url=url), name="test") as bus:
        await bus.publish(SUBJECT, UNREADABLE, msg_id=f"unreadable-{mesh.offset}")

    async def numbers() -> list[str]:
        listed = await run_meshctl("dlq", "list", *where)
        found = [line for line in listed.splitlines() if SUBJECT in line]
        assert found, listed
        return [re.split(r"\s+", line.strip())[0] for line in found]

    (first,) = await eventually(numbers)
    shown = await run_meshctl("dlq", "show", first, *where)
    sent = await run_meshctl("dlq", "replay", first, *where)

    async def came_back() -> None:
        assert len(await numbers()) == 2

    assert SUBJECT in shown
    assert UNREADABLE.hex() in shown
    assert f"{first} sent again on {SUBJECT}" in sent
    await eventually(came_back)
