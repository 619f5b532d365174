"""A service that acts as a person is on record, call by call (T28)."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from feedmesh.graph.v1.user_pb2_grpc import UserServiceStub
from feedmesh.rank.v1.rank_pb2_grpc import RankServiceStub

from chassis import auth, context, secrets
from chassis.auth import AccessTokens, Caller, Role, calling_as
from chassis.errors import PermissionDenied
from chassis.testing.serving import serving

from tests.unit.chassis import rooms

IMPORTER = Caller(role=Role.SERVICE, service="importer")
ACTING = auth.act_as(IMPORTER, "7")


async def answers(_: Any) -> bytes:
    return b""


def acts(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["event"] == "acted_as"]


async def test_acting_with_a_token_is_on_record(
    tmp_path: Path, logs: list[Any]
) -> None:
    """Who, as whom, what; a call without the header leaves no such line."""
    secrets.create_development(tmp_path)
    token = AccessTokens(tmp_path).issue(role=Role.SERVICE, service="importer", ttl=60)
    bearer = ("authorization", f"Bearer {token}")

    async with (
        serving(rooms.users(answers), secrets_dir=tmp_path) as served,
        grpc.aio.insecure_channel(served.target) as plain,
    ):
        stub = UserServiceStub(plain)
        await stub.GetUser(rooms.USER, metadata=(bearer,))
        await stub.GetUser(rooms.USER, metadata=(bearer, (auth.ACT_AS_KEY, "7")))

    assert acts(logs) == [
        {
            "event": "acted_as",
            "log_level": "info",
            "by": "importer",
            "user_id": 7,
            "method": "/feedmesh.graph.v1.UserService/GetUser",
        }
    ]


@pytest.mark.parametrize("method", ["Rank", "GetUser"])
async def test_acting_through_the_edge_is_on_record_once(
    method: str, logs: list[Any]
) -> None:
    """Where it enters the mesh, refused or not; what it calls further on is no act."""
    further = replace(ACTING, role=Role.INTERNAL, service="svc_feed")

    async with serving(rooms.rank(answers) | rooms.users(answers)) as served:
        calls: dict[str, tuple[Any, Any]] = {
            "Rank": (RankServiceStub(served.channel).Rank, rooms.RANK),
            "GetUser": (UserServiceStub(served.channel).GetUser, rooms.USER),
        }
        call, request = calls[method]
        with calling_as(further):
            await call(request)
        with calling_as(ACTING), contextlib.suppress(PermissionDenied):
            await call(request)

    assert [(line["by"], line["user_id"]) for line in acts(logs)] == [("importer", 7)]


async def test_the_record_is_of_the_request_that_asked(logs: list[Any]) -> None:
    """The request id joins the line, as it joins every line (test_telemetry)."""
    seen: list[str] = []

    async def notes(_: Any) -> bytes:
        seen.append(context.request_id())
        return b""

    async with serving(rooms.users(notes)) as served:
        with calling_as(ACTING):
            await UserServiceStub(served.channel).GetUser(
                rooms.USER, metadata=((context.REQUEST_ID_KEY, "r-1"),)
            )

    assert seen == ["r-1"]
    assert len(acts(logs)) == 1
