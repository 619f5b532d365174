"""A whole mesh of real processes, started as a user starts it: `meshctl up`.

What the tests know of it is what an operator sees: ports, files, the process table.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import grpc.aio
import httpx

from chassis.embedded import postgres
from chassis.embedded.engines import Ports
from chassis.testing import eventually

from meshctl.layout import Layout
from meshctl.plan import Plan
from meshctl.ports import wanted

# Ports beyond those of calls: admin, engines.
MORE_PORTS = (15432, 16379, 14222, 18222, *range(50151, 50156))
PORTS = {
    "gateway_http": 8080,
    "svc_graph": 50051,
    "svc_ingest": 50052,
    "svc_feed": 50053,
    "svc_rank": 50054,
    "svc_push": 50055,
}
START_SECONDS = 60
STOP_SECONDS = 60


@dataclass(frozen=True)
class Mesh:
    """A running mesh."""

    data: Path
    offset: int
    process: asyncio.subprocess.Process
    # What `meshctl up` printed until it said ready.
    output: str

    @property
    def http(self) -> str:
        """Base URL of the gateway."""
        return f"http://{self.address('gateway_http')}"

    def address(self, room: str) -> str:
        return f"127.0.0.1:{PORTS[room] + self.offset}"

    def channel(self, room: str) -> grpc.aio.Channel:
        """A plain channel, as a stranger would open it."""
        return grpc.aio.insecure_channel(self.address(room))

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.http, timeout=30)

    def pids(self, name: str) -> list[int]:
        """Processes of the mesh whose command line holds name."""
        return [
            pid for pid in descendants(self.process.pid) if name in command_line(pid)
        ]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to every process of that name."""
        pids = self.pids(name)
        assert pids, f"no process of {name}"
        for pid in pids:
            # One may end with another: a process with the one that watches it.
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def ready(self, room: str) -> None:
        """Waits until a room says that it serves."""
        port = PORTS[room] + self.offset + 100

        async def answers() -> None:
            try:
                async with httpx.AsyncClient(timeout=2) as client:
                    answer = await client.get(f"http://127.0.0.1:{port}/readyz")
            except httpx.TransportError as error:
                raise AssertionError(f"{room} does not answer") from error
            assert answer.status_code == 200, answer.text

        await eventually(answers, timeout=START_SECONDS)

    async def fetch(self, room: str, query: str, *arguments: object) -> list[object]:
        """First column of a query to the database of a room."""
        server = urlsplit(self.postgres_url)
        connection = await asyncpg.connect(urlunsplit(server._replace(path=f"/{room}")))
        try:
            return [row[0] for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    @property
    def postgres_url(self) -> str:
        """The server of the mesh: its own, or the outside one."""
        return os.environ.get("FEEDMESH_POSTGRES_URL") or postgres.url(
            Layout(self.data).engines / "postgres",
            port=Ports().shifted(self.offset).postgres,
        )

    async def token(self, handle: str, *arguments: str) -> str:
        """An access token, by `meshctl token`."""
        out = await run_meshctl(
            "token",
            handle,
            *arguments,
            "--data",
            str(self.data),
            "--port-offset",
            str(self.offset),
        )
        return out.strip().splitlines()[-1]


@asynccontextmanager
async def running_mesh(
    data: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Mesh]:
    """Starts a mesh with its own ports below data; stops it as an operator would."""
    offset = free_offset()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "meshctl",
        "up",
        "--data",
        str(data),
        "--port-offset",
        str(offset),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            output = await until_ready(process)
        yield Mesh(data=data, offset=offset, process=process, output=output)
    finally:
        await stop(process)


async def until_ready(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    async for raw in process.stdout:
        line = raw.decode()
        lines.append(line)
        if line.strip() == "ready":
            return "".join(lines)
    raise AssertionError(f"meshctl up ended before it was ready:\n{''.join(lines)}")


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            # Reading on keeps the pipe from filling while the mesh drains.
            await process.communicate()


async def run_meshctl(*arguments: str) -> str:
    """Output of a meshctl command that must succeed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "meshctl",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode() + out.decode()
    return out.decode()


def free_offset() -> int:
    """An offset at which all ports of a mesh are free.

    That far up they are beyond the ports that the machine takes for connections, so
    that no connection of an earlier test can have one of them.
    """
    for offset in random.sample(range(11_000, 14_000, 200), 15):
        plan = Plan(
            layout=Layout(Path()),
            offset=offset,
            http_host="127.0.0.1",
            http_port=PORTS["gateway_http"] + offset,
            workers=1,
        )
        if all(is_free(port) for _, port, _ in wanted(plan, embedded=True)):
            return offset
    raise AssertionError("no free range of ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def descendants(pid: int) -> Iterator[int]:
    """Every process below pid, whatever session it is in."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        children.setdefault(parent, []).append(int(folder.name))
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        yield from below
        todo += below


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def reason(answer: httpx.Response) -> str:
    """Reason of an error answer."""
    details = json.loads(answer.content)["details"]
    return next(str(d["reason"]) for d in details if "reason" in d)
