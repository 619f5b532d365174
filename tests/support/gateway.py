"""The gateway as it is assembled, in front of small real services of the test's own."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
from prometheus_client import CollectorRegistry

from chassis import secrets, testing
from chassis.auth import AccessTokens, Role
from chassis.run import App, running
from chassis.server import Adder
from chassis.settings import ServiceSettings
from chassis.telemetry import measuring
from chassis.valkey import Valkey, open_valkey

from gateway_http.settings import GatewaySettings
from gateway_http.wiring import assemble

ANN = 77

ROOMS = ("graph", "ingest", "feed", "push")


class RoomSettings(ServiceSettings):
    """Settings of a room made for a test."""

    room: ClassVar[str] = "feed"


@dataclass(frozen=True)
class Front:
    """A gateway, and what a test needs to play with it."""

    http: httpx.AsyncClient
    port: int
    tokens: AccessTokens
    valkey: Valkey

    def token(self, user_id: int = ANN, **claims: Any) -> str:
        return self.tokens.issue(
            **{"user_id": user_id, "session_id": "s1", "ttl": 60, **claims}
        )

    def signed_in(self, user_id: int = ANN, **claims: Any) -> dict[str, str]:
        """Headers of a person."""
        return {"authorization": f"Bearer {self.token(user_id, **claims)}"}

    def service(self, **headers: str) -> dict[str, str]:
        """Headers of a service token."""
        token = self.token(0, role=Role.SERVICE, service="robot", session_id="")
        return {"authorization": f"Bearer {token}", **headers}

    async def raw(self, request: bytes, *, wait: float = 5) -> bytes:
        """What comes back for these bytes until the gateway hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(wait):
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def front(rpcs: Mapping[Adder, object], **settings: Any) -> AsyncIterator[Front]:
    """A gateway whose rooms are all one server with these servicers."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "secrets"
        secrets.create_development(folder)
        engine = await stack.enter_async_context(testing.valkey())
        up = await stack.enter_async_context(room(rpcs, folder))
        target = f"127.0.0.1:{up}"
        port = free_port()
        app_settings = GatewaySettings(
            **{
                "port": port,
                "admin_port": 0,
                "secrets_dir": folder,
                "valkey_url": engine.url,
                "linger_seconds": 0,
                "drain_seconds": 2,
                **{f"target_{name}": target for name in ROOMS},
                **settings,
            }
        )
        stack.enter_context(measuring(CollectorRegistry()))
        app = await stack.enter_async_context(assemble(app_settings))
        await stack.enter_async_context(running(app, app_settings))
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)
        )
        valkey = await stack.enter_async_context(open_valkey(engine))
        yield Front(http, port, AccessTokens(folder), valkey)


@asynccontextmanager
async def room(
    rpcs: Mapping[Adder, object], folder: Path, port: int = 0
) -> AsyncIterator[int]:
    """A server with these servicers; its port."""
    settings = RoomSettings(
        port=port, admin_port=0, secrets_dir=folder, linger_seconds=0, drain_seconds=1
    )
    async with running(App(name="test", rpcs=rpcs), settings) as up:
        yield up.port


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def reason(answer: httpx.Response) -> str:
    """The reason in a google.rpc.Status."""
    return str(answer.json()["details"][0]["reason"])


def violations(answer: httpx.Response) -> list[str]:
    """The fields that a google.rpc.Status finds fault with."""
    (detail,) = [d for d in answer.json()["details"] if "fieldViolations" in d]
    return [violation["field"] for violation in detail["fieldViolations"]]
