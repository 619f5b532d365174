"""The mesh that is measured: `meshctl up` as a user starts it, with its own ports."""

import asyncio
import os
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import grpc.aio

from chassis import auth, secrets
from chassis.embedded import postgres
from chassis.embedded.engines import Ports
from chassis.identity import InternalIdentity
from chassis.tokens import AccessTokens

from bench import cpu
from bench.processes import START_SECONDS, free_offset, process
from meshctl.connection import Place
from meshctl.layout import Layout, address
from meshctl.plan import Plan
from meshctl.ports import wanted

HTTP_PORT = 8080
# Longer than any bench.
CREDENTIAL_SECONDS = 7200.0


@dataclass(frozen=True)
class Mesh:
    """A running mesh."""

    place: Place
    pid: int
    start_seconds: float
    """From nothing to ready."""

    @property
    def http_port(self) -> int:
        return HTTP_PORT + self.place.offset

    @property
    def postgres_url(self) -> str:
        """The server of all databases."""
        return postgres.url(
            self.place.layout.engines / "postgres",
            port=Ports().shifted(self.place.offset).postgres,
        )

    def channel(self, room: str) -> grpc.aio.Channel:
        """A plain channel: what it costs is not counted, but it should be little."""
        return grpc.aio.insecure_channel(address(room, self.place.offset))

    def spent(self) -> cpu.Spent:
        """CPU seconds of the mesh up to now, engines included."""
        return cpu.spent(self.pid)

    def database(self, name: str) -> str:
        """URL of one database."""
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{name}"))

    def identity(self, user_id: int) -> tuple[str, str]:
        """Metadata that a service gets from the gateway for a person."""
        who = auth.Caller(
            user_id=user_id,
            role=auth.Role.USER,
            service="gateway_http",
            session_id="bench",
            origin=auth.Role.USER,
        )
        return auth.IDENTITY_KEY, self._identities.sign(who, CREDENTIAL_SECONDS)

    def token(self, user_id: int) -> str:
        """An access token, as svc_graph signs them at log-in."""
        return self._tokens.issue(
            user_id=user_id, session_id="bench", ttl=CREDENTIAL_SECONDS
        )

    @cached_property
    def _identities(self) -> InternalIdentity:
        path = self.place.layout.secrets / secrets.INTERNAL_KEYS
        return InternalIdentity(secrets.read_keys(path))

    @cached_property
    def _tokens(self) -> AccessTokens:
        return AccessTokens(self.place.layout.secrets)

    @asynccontextmanager
    async def connect(self, database: str) -> AsyncIterator[asyncpg.Connection]:
        """A connection to look on with."""
        connection = await asyncpg.connect(self.database(database))
        try:
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def running_mesh(parent: Path) -> AsyncIterator[Mesh]:
    """A mesh from nothing, in a folder below parent that is removed afterwards."""
    with TemporaryDirectory(prefix="mesh-", dir=parent) as folder:
        offset = _offset()
        began = time.perf_counter()
        async with process(
            *("-m", "meshctl", "up", "--data", folder),
            *("--port-offset", str(offset), "--no-seed"),
            env=environment(),
            output=PIPE,
        ) as started:
            assert started.stdout is not None
            lines = []
            async with asyncio.timeout(START_SECONDS):
                while line := await started.stdout.readline():
                    lines.append(line.decode())
                    if line.strip() == b"ready":
                        break
                else:
                    raise RuntimeError(f"no mesh:\n{''.join(lines)}")
            place = Place(Layout(Path(folder)), offset)
            yield Mesh(place, started.pid, time.perf_counter() - began)


def environment() -> dict[str, str]:
    """Ours, but for settings: the mesh is measured as it comes."""
    ours = ("FEEDMESH_", "GRPC_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


def _offset() -> int:
    plan = Plan(
        layout=Layout(Path()),
        offset=0,
        http_host="127.0.0.1",
        http_port=HTTP_PORT,
        workers=1,
    )
    return free_offset(port for _, port, _ in wanted(plan, embedded=True))
