"""`meshctl probe`: exit codes that scripts and probes already know."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from chassis.health import Health

SERVICE = "feedmesh.rank.v1.RankService"


@asynccontextmanager
async def server() -> AsyncIterator[tuple[str, Health]]:
    """A server with one service; its address and its health, which is good."""
    health = Health([SERVICE])
    await health.report(is_ready=True)
    serving = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, serving)
    port = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    try:
        yield f"127.0.0.1:{port}", health
    finally:
        await serving.stop(0)


async def probe(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "meshctl", "probe", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode().strip()


async def test_exit_codes_are_those_of_grpc_health_probe() -> None:
    """0 healthy, 1 wrong arguments, 2 no connection, 3 call failed, 4 not serving."""
    async with server() as (address, health):
        whole = await probe(address)
        one = await probe(address, "--service", SERVICE)
        unknown = await probe(address, "--service", "no.such.Service")
        await health.drain()
        draining = await probe(address)
    gone = await probe(address, "--connect-timeout", "0.1")
    wrong = await probe("somewhere")

    assert whole == one == (0, "SERVING")
    assert unknown == (3, "")
    assert draining == (4, "NOT_SERVING")
    assert gone == (2, "")
    assert wrong == (1, "")
