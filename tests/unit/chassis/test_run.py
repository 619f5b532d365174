"""A service from start to end: roles, order, signals."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from feedmesh.graph.v1.user_pb2_grpc import UserServiceStub
from feedmesh.push.v1 import push_pb2
from feedmesh.push.v1.push_pb2_grpc import PushServiceStub

from chassis.auth import Caller, Role, calling_as
from chassis.client import ChannelSettings, open_channel
from chassis.errors import MeshError, Unavailable
from chassis.run import App, Background, running
from chassis.settings import RoleName, ServiceSettings
from chassis.testing import eventually

from tests.unit.chassis import rooms

ANN = Caller(user_id=7, role=Role.USER)


def settings(**changed: Any) -> ServiceSettings:
    given = {"port": 0, "admin_port": 0, "linger_seconds": 0, "drain_seconds": 5}
    return ServiceSettings(**given | changed)


async def answers(_: Any) -> bytes:
    return b""


class Consumer:
    """Consumes nothing, and notes what is asked of it."""

    durable = "notes"

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    async def run(self) -> None:
        self._notes.append("consumer runs")
        try:
            await asyncio.Event().wait()
        finally:
            self._notes.append("consumer ends")

    async def drain(self) -> None:
        self._notes.append("consumer drains")


def noting(notes: list[str], name: str) -> Background:
    async def run() -> None:
        notes.append(name)
        await asyncio.Event().wait()

    return Background(name, run, role=name)  # type: ignore[arg-type]  # named so


@pytest.mark.parametrize(
    ("role", "runs", "serves"),
    [
        ("all", {"all", "rpc", "worker", "consumer runs"}, True),
        ("rpc", {"all", "rpc"}, True),
        ("worker", {"all", "worker", "consumer runs"}, False),
    ],
)
async def test_role_decides_what_runs(
    role: RoleName, runs: set[str], serves: bool
) -> None:
    """A worker answers health and nothing else; an RPC process consumes nothing."""
    notes: list[str] = []
    app = App(
        name="svc",
        rpcs=rooms.users(answers),
        consumers=[Consumer(notes)],
        background=[noting(notes, name) for name in ("all", "rpc", "worker")],
    )
    async with running(app, settings(role=role)) as up:
        await eventually(lambda: set(notes) == runs)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{up.port}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            await health.Check(health_pb2.HealthCheckRequest())
            code = grpc.StatusCode.OK
            try:
                await UserServiceStub(channel).GetUser(rooms.USER)
            except grpc.aio.AioRpcError as error:
                code = error.code()

    assert (code is grpc.StatusCode.OK) is serves


async def test_order_of_the_end() -> None:
    """Not ready, no more events, streams and calls finish, then the rest ends."""
    notes: list[str] = []
    entered, leave = asyncio.Event(), asyncio.Event()

    async def holds(_: Any) -> bytes:
        entered.set()
        await leave.wait()
        notes.append("call ends")
        return b""

    async def hook() -> None:
        notes.append("ready" if (await up.readiness.check()).is_ready else "not ready")
        leave.set()

    app = App(
        name="svc",
        rpcs=rooms.users(holds),
        consumers=[Consumer(notes)],
        drains=[hook],
    )
    async with contextlib.AsyncExitStack() as stack:
        async with running(app, settings()) as up:
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(f"127.0.0.1:{up.port}")
            )
            call = UserServiceStub(channel).GetUser(rooms.USER)
            await asyncio.wait_for(entered.wait(), 5)
        await call

    assert notes == [
        "consumer runs",
        "not ready",
        "consumer drains",
        "call ends",
        "consumer ends",
    ]


async def test_long_lived_streams_do_not_hold_the_end() -> None:
    """They are told that the server drains, and may go on elsewhere."""

    async def live(_: Any) -> AsyncIterator[Any]:
        yield push_pb2.SubscribeResponse()
        await asyncio.Event().wait()

    app = App(name="svc", rpcs=rooms.push(live))
    given = settings(drain_seconds=30)
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(10), running(app, given) as up:
            called = ChannelSettings(
                target=f"127.0.0.1:{up.port}", keys=given.internal_keys, as_caller=True
            )
            channel = await stack.enter_async_context(open_channel(called))
            assert up.health is not None
            await up.health.report(is_ready=True)
            with calling_as(ANN):
                stream = PushServiceStub(channel).Subscribe(rooms.SUBSCRIBE)
            await stream.read()
        with pytest.raises(MeshError) as caught:
            await stream.read()

    assert (type(caught.value), caught.value.reason) == (Unavailable, "OVERLOADED")


async def test_background_work_starts_again(logs: list[Any]) -> None:
    """What fails is logged and started anew; what returns is done."""
    runs: list[int] = []

    async def fails_once() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise RuntimeError("first time")

    app = App(
        name="svc", rpcs={}, background=[Background("job", fails_once, role="all")]
    )
    async with running(app, settings()):
        await eventually(lambda: len(runs) == 2)

    failures = [line for line in logs if line["log_level"] == "error"]
    assert [line["work"] for line in failures] == ["job"]


async def test_error_inside_comes_out_as_it_is() -> None:
    """The block's own failure is not wrapped, and everything is still closed."""
    notes: list[str] = []
    app = App(name="svc", rpcs={}, consumers=[Consumer(notes)])

    async def fails() -> None:
        async with running(app, settings()):
            await eventually(lambda: notes == ["consumer runs"])
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await fails()

    assert notes[1:] == ["consumer drains", "consumer ends"]


SERVICE = """
import asyncio
from contextlib import asynccontextmanager
from feedmesh.rank.v1 import rank_pb2_grpc
from chassis.run import App, main
from chassis.settings import ServiceSettings

class Rank(rank_pb2_grpc.RankServiceServicer):
    pass

class RankSettings(ServiceSettings):
    room = "rank"

@asynccontextmanager
async def assemble(settings):
    {before}
    yield App(
        name="svc_rank",
        rpcs={{rank_pb2_grpc.add_RankServiceServicer_to_server: Rank()}},
    )
    print("closed", flush=True)

main(RankSettings, assemble)
"""


@contextlib.asynccontextmanager
async def process(
    *arguments: str, before: str = "", **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as a process of its own; killed when it does not end."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVICE.format(before=before),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env=os.environ | environment,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def until(started: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """The first line that tells of an event."""
    assert started.stdout is not None
    async with asyncio.timeout(20):
        async for line in started.stdout:
            if line.startswith(b"{"):
                told: dict[str, Any] = orjson.loads(line)
                if told["event"] == event:
                    return told
    raise AssertionError(f"ended without {event}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_and_exits_with_zero(number: signal.Signals) -> None:
    """SIGTERM and SIGINT alike; resources are closed."""
    async with process("--port", "0", "--admin-port", "0") as started:
        assert (await until(started, "ready"))["service"] == "svc_rank"
        started.send_signal(number)
        out, _ = await asyncio.wait_for(started.communicate(), 20)

    assert started.returncode == 0
    assert b"closed" in out
    assert b'"event":"stopped"' in out


async def test_signal_during_the_start_ends_it() -> None:
    """A service that waits for its database can be stopped."""
    waits = "await asyncio.Event().wait()"
    async with process("--port", "0", before=waits) as started:
        await until(started, "starting")
        started.terminate()
        await asyncio.wait_for(started.communicate(), 20)

    assert started.returncode == 0


async def test_failed_start_exits_with_one() -> None:
    """The reason is in the log."""
    async with process("--port", "0", before="raise OSError('no disk')") as started:
        out, _ = await asyncio.wait_for(started.communicate(), 20)

    assert started.returncode == 1
    assert b"no disk" in out


async def test_wrong_setting_is_named_without_its_value() -> None:
    """Exit code 2; the value may be a secret in the wrong place."""
    async with process(FEEDMESH_LOG_LEVEL="hunter2") as started:
        _, complaint = await asyncio.wait_for(started.communicate(), 20)

    assert started.returncode == 2
    assert b"log_level" in complaint
    assert b"hunter2" not in complaint


async def test_port_in_use_is_a_failed_start() -> None:
    """Two processes never share a port by accident."""
    app = App(name="svc", rpcs=rooms.users(answers))
    async with (
        running(app, settings()) as up,
        process("--port", str(up.port), "--admin-port", "0") as started,
    ):
        await asyncio.wait_for(started.communicate(), 20)

    assert started.returncode == 1
