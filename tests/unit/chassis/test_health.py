"""grpc.health.v1 and reflection, as probes and tools ask for them."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from chassis.run import App, running
from chassis.settings import ServiceSettings
from chassis.testing import eventually
from chassis.testing.serving import serving

from tests.unit.chassis import rooms

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
RANK = "feedmesh.rank.v1.RankService"


async def answers(_: Any) -> bytes:
    return b""


async def test_check_and_list() -> None:
    """The server under the empty name, and each service under its own."""
    async with (
        serving(rooms.rank(answers)) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", RANK):
            request = health_pb2.HealthCheckRequest(service=name)
            assert (await stub.Check(request)).status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nope"))
        request = health_pb2.HealthListRequest()  # type: ignore[attr-defined]  # newer than its types
        listed = (await stub.List(request)).statuses

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert {name: entry.status for name, entry in listed.items()} == {
        "": SERVING,
        RANK: SERVING,
    }


async def test_watch_sees_the_drain() -> None:
    """NOT_SERVING reaches watchers before the server stops."""
    settings = ServiceSettings(port=0, admin_port=0, linger_seconds=0.1)
    seen: list[int] = []

    async def watch(channel: grpc.aio.Channel, up: asyncio.Event) -> None:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            async for update in stub.Watch(health_pb2.HealthCheckRequest(service=RANK)):
                seen.append(update.status)
                if update.status == SERVING:
                    up.set()
        except grpc.aio.AioRpcError as error:
            seen.append(error.code().value[0])

    async with asyncio.TaskGroup() as group:
        app = App(name="svc_rank", rpcs=rooms.rank(answers))
        async with running(app, settings) as up:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{up.port}")
            is_up = asyncio.Event()
            watching = group.create_task(watch(channel, is_up))
            await asyncio.wait_for(is_up.wait(), 5)
        await asyncio.wait_for(watching, 5)
        await channel.close()

    assert seen[-3:] == [SERVING, NOT_SERVING, grpc.StatusCode.UNAVAILABLE.value[0]]


async def test_readiness_follows_the_checks() -> None:
    """One that is required fails: NOT_SERVING; it comes back by itself."""
    is_down = False

    async def ping() -> None:
        if is_down:
            raise ConnectionError

    settings = ServiceSettings(port=0, admin_port=0, linger_seconds=0)
    app = App(
        name="svc_rank", rpcs=rooms.rank(answers), requires_all={"postgres": ping}
    )
    async with (
        running(app, settings) as up,
        grpc.aio.insecure_channel(f"127.0.0.1:{up.port}") as channel,
    ):
        stub: Any = health_pb2_grpc.HealthStub(channel)

        async def is_(status: int) -> bool:
            answer = await stub.Check(health_pb2.HealthCheckRequest())
            return bool(answer.status == status)

        await eventually(lambda: is_(SERVING))
        is_down = True
        await eventually(lambda: is_(NOT_SERVING))
        is_down = False
        await eventually(lambda: is_(SERVING))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_by_setting(version: str) -> None:
    """Both names, only when asked for."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"

    async def listed(target: str) -> set[str]:
        async with grpc.aio.insecure_channel(target) as channel:
            call = channel.stream_stream(
                path,
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )(iter([request]))
            async for answer in call:
                return {entry.name for entry in answer.list_services_response.service}
        return set()

    async with serving(rooms.rank(answers), reflection=True) as served:
        assert {RANK, "grpc.health.v1.Health"} <= await listed(served.target)
    async with serving(rooms.rank(answers)) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(served.target)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
