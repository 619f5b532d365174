"""`meshctl token`: an access token for a person, or for a service."""

import asyncio
from datetime import timedelta
from typing import Annotated

import typer

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc

from chassis.errors import MeshError

from meshctl.calling import open_service
from meshctl.console import complain, say
from meshctl.layout import DATA, DataOption, Layout, OffsetOption, address


def token(
    handle: Annotated[
        str, typer.Argument(help="Handle of the person, or name of the service.")
    ],
    service: Annotated[
        bool,
        typer.Option("--service", help="A service token, which may act as anybody."),
    ] = False,
    admin: Annotated[
        bool, typer.Option("--admin", help="Give the person the admin role.")
    ] = False,
    ttl: Annotated[
        int, typer.Option(min=1, max=86_400, help="Seconds it is good for.")
    ] = 3600,
    target: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="svc_graph.",
            show_default="of the mesh on this machine",
        ),
    ] = "",
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Print an access token, signed by svc_graph and written into its audit trail.

    The mesh's own keys are used, so this works for whoever may read them.

    ```
    curl -H "authorization: Bearer $(meshctl token ann)" localhost:8080/v1/feed
    meshctl token loader --service --ttl 86400
    ```
    """
    request = graph_pb2.IssueTokenRequest(handle=handle, service=service, admin=admin)
    request.ttl.FromTimedelta(timedelta(seconds=ttl))
    where = target or address("graph", port_offset)
    try:
        say(asyncio.run(_issue(where, Layout(data), request)))
    except MeshError as error:
        complain(str(error))
        raise typer.Exit(1) from error
    except FileNotFoundError as error:
        complain(f"no keys in {error.filename}; --data names the mesh's folder")
        raise typer.Exit(1) from error


async def _issue(
    target: str, layout: Layout, request: graph_pb2.IssueTokenRequest
) -> str:
    async with open_service("graph", target, layout) as channel:
        answer = await graph_pb2_grpc.GraphServiceStub(channel).IssueToken(request)
    return answer.access_token
