"""The mesh of a fault run: engines and services as children, proxies between them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis.embedded.engines import NAMES, Engines
from chassis.testing import eventually

from meshctl.children import Child
from meshctl.plan import Plan
from tests.faults.proxies import Proxies
from tests.support.mesh import descendants

STOP, CONT, KILL = signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL


class FaultMesh:
    """What a fault can lay hands on."""

    def __init__(
        self,
        *,
        plan: Plan,
        engines: Engines,
        proxies: Proxies,
        children: Sequence[Child],
    ) -> None:
        self.plan = plan
        self.engines = engines
        self.proxies = proxies
        self.children = children

    @property
    def http(self) -> str:
        """Base URL of the gateway."""
        return f"http://{self.plan.http_host}:{self.plan.http_port}"

    def pids(self, name: str) -> list[int]:
        """Processes of a service ("svc_feed", or "svc_feed-1" for the second one
        alone), or of an engine with all it started."""
        if name in NAMES:
            pid = self.engines.pids[name]
            return [pid, *descendants(pid)] if pid else []
        return [
            child.pid
            for child in self.children
            if name in (child.process.name, child.process.package) and child.pid
        ]

    def signal(self, name: str, number: signal.Signals) -> list[int]:
        """Sends it to the processes of that name; answers to whom."""
        pids = self.pids(name)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def only(self, name: str, number: int = 0) -> list[int]:
        """The pid of one process of a service."""
        return self.pids(name)[number : number + 1]

    @asynccontextmanager
    async def frozen(self, *names: str) -> AsyncIterator[None]:
        """Stopped for the length of the block, whatever ends it."""
        stopped: list[int] = []
        try:
            for name in names:
                stopped += self.signal(name, STOP)
            yield
        finally:
            for pid in reversed(stopped):
                with suppress(ProcessLookupError):
                    os.kill(pid, CONT)

    async def crash(self, engine: str) -> None:
        """kill -9 of all its processes; returns when they are gone."""
        self.signal(engine, KILL)
        await eventually(lambda: not self.engines.is_running(engine))

    async def start(self, engine: str) -> None:
        """Starts a crashed engine with the data that it has."""
        await asyncio.to_thread(self.engines.start, engine)

    def data(self, engine: str) -> Path:
        return self.engines.folder / engine / "data"

    async def lose_data(self, engine: str) -> None:
        """Empties the store of an engine that does not run."""
        await asyncio.to_thread(shutil.rmtree, self.data(engine))
        self.data(engine).mkdir(mode=0o700)

    @asynccontextmanager
    async def database(self, room: str) -> AsyncIterator[asyncpg.Connection]:
        """The database of a room, not through a proxy."""
        server = urlsplit(self.engines.postgres_url)
        opened = await asyncpg.connect(
            urlunsplit(server._replace(path=f"/{room}")), timeout=10, command_timeout=10
        )
        try:
            yield opened
        finally:
            await opened.close(timeout=2)

    @asynccontextmanager
    async def nats(self) -> AsyncIterator[Client]:
        """The bus, not through a proxy."""
        client = await nats.connect(
            self.engines.nats_url,
            connect_timeout=5,
            allow_reconnect=False,
            error_cb=_ignored,
        )
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def jetstream(self) -> AsyncIterator[JetStreamContext]:
        """JetStream, not through a proxy."""
        async with self.nats() as client:
            yield client.jetstream(timeout=5)

    async def metrics(self) -> dict[str, dict[str, float]]:
        """What every service that answers says of itself, by process and series."""
        found = {}
        async with httpx.AsyncClient(timeout=2) as client:
            for child in self.children:
                url = f"http://127.0.0.1:{child.process.admin_port}/metrics"
                with suppress(httpx.HTTPError):
                    text = (await client.get(url)).text
                    found[child.process.name] = dict(_series(text))
        return found


async def _ignored(_: Exception) -> None:
    """The caller sees its own failure."""


def _series(text: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            with suppress(ValueError):
                yield name, float(value)
