"""A service acts as a person: an operator finds who did it (T28)."""

import asyncio
import json

import pytest

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc

from chassis.testing import eventually

from tests.support.mesh import Mesh
from tests.support.people import Person, sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

AUDIT = "SELECT who || ' ' || what || ' ' || outcome FROM audit WHERE request_id = $1"


async def acts(mesh: Mesh, room: str, request_id: str) -> list[tuple[str, int, str]]:
    """Who acted as whom with which method, as the room's log has it."""
    log = mesh.data / "logs" / f"{room}.log"
    text = await asyncio.to_thread(log.read_text)
    lines = [json.loads(line) for line in text.splitlines() if "acted_as" in line]
    return [
        (line["by"], line["user_id"], line["method"].rpartition("/")[2])
        for line in lines
        if line["event"] == "acted_as" and line.get("request_id") == request_id
    ]


async def test_acting_over_http_is_on_record(mesh: Mesh) -> None:
    """A write and a read: in the log of the room, the write in its audit trail too."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        token = await mesh.token("robot_http", "--service")
        robot = Person(client, "robot_http", "", token)
        request = f"acting-{ann.user_id}"
        headers = {"x-feedmesh-act-as": ann.user_id, "x-request-id": request}
        await robot.call("POST", "/posts", json={"text": "by it"}, headers=headers)
        await robot.call("GET", "/feed", headers=headers)

    who, user = "robot_http", int(ann.user_id)

    async def on_record() -> None:
        assert await acts(mesh, "svc_ingest", request) == [(who, user, "CreatePost")]
        assert await acts(mesh, "svc_feed", request) == [(who, user, "GetHomeFeed")]
        # What the rooms ask of each other for it is no further act.
        assert await acts(mesh, "svc_graph", request) == []

    await eventually(on_record)
    assert await mesh.fetch("svc_ingest", AUDIT, request) == [
        f"service:robot_http for user:{user} post.create OK"
    ]


async def test_acting_over_grpc_is_on_record(mesh: Mesh) -> None:
    """At the room itself, without the edge."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
    request = f"acting-{ann.user_id}"
    token = await mesh.token("robot_grpc", "--service")
    async with mesh.channel("svc_graph") as channel:
        await graph_pb2_grpc.GraphServiceStub(channel).Follow(
            graph_pb2.FollowRequest(user_id=int(ben.user_id)),
            metadata=(
                ("authorization", f"Bearer {token}"),
                ("x-feedmesh-act-as", ann.user_id),
                ("x-request-id", request),
            ),
        )

    async def on_record() -> None:
        found = await acts(mesh, "svc_graph", request)
        assert found == [("robot_grpc", int(ann.user_id), "Follow")]

    await eventually(on_record)


async def test_a_token_is_written_down_before_it_is_handed_out(mesh: Mesh) -> None:
    """Who may act as somebody is known by the audit trail of IssueToken."""
    await mesh.token("robot_issued", "--service")

    issued = await mesh.fetch(
        "svc_graph",
        "SELECT what || ' ' || outcome FROM audit WHERE target = $1",
        "robot_issued",
    )
    assert issued == ["token.issue.service OK"]


async def test_the_audit_trail_cannot_be_changed(mesh: Mesh) -> None:
    """Not even with the rights of the room."""
    for room in ("svc_graph", "svc_ingest"):
        refused = await mesh.fetch(
            room,
            "SELECT count(*) FROM pg_trigger WHERE tgname = 'audit_append_only' "
            "AND tgenabled = 'O'",
        )
        assert refused == [1]
