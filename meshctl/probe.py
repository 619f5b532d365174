"""`meshctl probe`: is a gRPC server healthy? Exit codes as of grpc-health-probe."""

import asyncio
from enum import IntEnum
from typing import Annotated, Any

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshctl.console import complain, say


class Outcome(IntEnum):
    """What the exit code says."""

    HEALTHY = 0
    BAD_ARGUMENTS = 1
    NO_CONNECTION = 2
    CALL_FAILED = 3
    UNHEALTHY = 4


def probe(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The server.")],
    service: Annotated[
        str,
        typer.Option(
            help="Ask about one service, such as feedmesh.feed.v1.FeedService."
        ),
    ] = "",
    connect_timeout: Annotated[
        float, typer.Option(min=0.01, help="Seconds to connect.")
    ] = 1.0,
    rpc_timeout: Annotated[
        float, typer.Option(min=0.01, help="Seconds for the answer.")
    ] = 1.0,
) -> None:
    """Ask a gRPC server whether it is healthy (grpc.health.v1).

    Exit codes: 0 healthy, 1 wrong arguments, 2 no connection, 3 the call failed
    (an unknown service too), 4 not serving.

    ```
    meshctl probe 127.0.0.1:50053
    meshctl probe 127.0.0.1:50053 --service feedmesh.feed.v1.FeedService
    ```
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        complain(f"{address} is not HOST:PORT")
        raise typer.Exit(Outcome.BAD_ARGUMENTS)
    raise typer.Exit(asyncio.run(_ask(address, service, connect_timeout, rpc_timeout)))


async def _ask(
    address: str, service: str, connect_timeout: float, rpc_timeout: float
) -> Outcome:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            async with asyncio.timeout(connect_timeout):
                await channel.channel_ready()
        except TimeoutError:
            complain(f"no connection to {address} within {connect_timeout:g} s")
            return Outcome.NO_CONNECTION
        request = health_pb2.HealthCheckRequest(service=service)
        stub: Any = health_pb2_grpc.HealthStub(channel)  # has no types of its own
        try:
            answer = await stub.Check(request, timeout=rpc_timeout)
        except grpc.aio.AioRpcError as error:
            complain(f"{error.code().name}: {error.details()}")
            return Outcome.CALL_FAILED
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    say(state)
    return Outcome.HEALTHY if state == "SERVING" else Outcome.UNHEALTHY
