"""Ports: found free, held for the processes that will listen on them."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator

from meshctl.children import Say, StartFailed
from meshctl.plan import Plan

LOOPBACK = "127.0.0.1"

# For the processes of a killed mesh to be gone, and for a port that an outgoing
# connection has: it keeps it for a minute after it ended.
KILLED_SECONDS = 15.0
CONNECTION_SECONDS = 65.0

_POLL = 0.05


def reachable(plan: Plan) -> str:
    """Where we find the gateway, also when it listens on all addresses."""
    everywhere = {"0.0.0.0": LOOPBACK, "::": "::1"}
    return everywhere.get(plan.http_host, plan.http_host)


@contextlib.asynccontextmanager
async def holding_ports(
    plan: Plan, *, embedded: bool, was_killed: bool, say: Say
) -> AsyncIterator[None]:
    """Holds every port of the mesh. StartFailed names one that is in use.

    Half of our ports are in the range from which the machine takes ports for
    outgoing connections. A socket that is bound and never listens keeps a port from
    that, and does not hinder the process that the port is for: both say SO_REUSEADDR.
    """
    with contextlib.ExitStack() as held:
        for host, port, name in wanted(plan, embedded=embedded):
            held.enter_context(
                await _hold(host, port, name, was_killed=was_killed, say=say)
            )
        yield


async def _hold(
    host: str, port: int, name: str, *, was_killed: bool, say: Say
) -> socket.socket:
    """A socket that has the port, as soon as that can be had."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    told = False
    while (taken := _bind(host, port)) is None:
        waited = loop.time() - start
        # A server stays; what is left of a killed mesh, or a connection, goes away.
        if await _is_served(host, port):
            patience = KILLED_SECONDS if was_killed else 0
        else:
            patience = CONNECTION_SECONDS
        if waited > patience:
            raise StartFailed(
                f"port {port}, wanted for {name}, is in use;"
                " --port-offset 1000 shifts all ports out of its way"
            )
        if waited > 1 and not told:
            told = True
            say(f"port {port} is still some connection's own; waiting for it")
        await asyncio.sleep(_POLL)
    return taken


async def _is_served(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def wanted(plan: Plan, *, embedded: bool) -> Iterator[tuple[str, int, str]]:
    """Host and port of everything that will listen, and its name."""
    for process in plan.processes({}, {}):
        is_gateway = process.package == "gateway_http"
        host = plan.http_host if is_gateway else LOOPBACK
        yield host, process.port, process.name
        yield host, process.admin_port, process.name
    if embedded:
        for name, port in vars(plan.engine_ports).items():
            yield LOOPBACK, port, name


def _bind(host: str, port: int) -> socket.socket | None:
    """A socket that has the port; None when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if error.errno != errno.EADDRINUSE:
            raise StartFailed(f"cannot listen on {host}:{port}: {error}") from error
        return None
    return bound
