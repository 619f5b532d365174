"""The admin port: /metrics, /livez, /readyz, by a few lines of HTTP/1.1."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from chassis.readiness import Readiness

HEAD_TIMEOUT = 5.0
HEAD_BYTES = 8192

TEXT = "text/plain; charset=utf-8"


@contextlib.asynccontextmanager
async def open_admin(
    *, host: str, port: int, registry: CollectorRegistry, readiness: Readiness
) -> AsyncIterator[int]:
    """Listens for operators; the value is the port, a free one when asked for 0."""
    admin = Admin(registry=registry, readiness=readiness)
    server = await asyncio.start_server(admin.serve, host, port, limit=HEAD_BYTES)
    try:
        bound: int = server.sockets[0].getsockname()[1]
        yield bound
    finally:
        server.close()


class Admin:
    """Answers one request a connection."""

    def __init__(self, *, registry: CollectorRegistry, readiness: Readiness) -> None:
        self._registry = registry
        self._readiness = readiness

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Reads a request head, answers, hangs up."""
        broken = (OSError, TimeoutError, asyncio.IncompleteReadError)
        with contextlib.suppress(*broken, asyncio.LimitOverrunError):
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = head.partition(b" ")
                target = rest.partition(b" ")[0].decode("ascii", "replace")
                status, kind, body = await self._answer(method.decode("latin"), target)
                writer.write(_head(status, kind, len(body)))
                if method != b"HEAD":
                    writer.write(body)
                await writer.drain()
        writer.close()

    async def _answer(self, method: str, target: str) -> tuple[HTTPStatus, str, bytes]:
        if method not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, TEXT, b"GET or HEAD\n"
        parts = urlsplit(target)
        if parts.path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if parts.path == "/livez":
            # That it is answered at all is what it says: the event loop turns.
            return HTTPStatus.OK, TEXT, b"live\n"
        if parts.path == "/readyz":
            return await self._ready("verbose" in parse_qs(parts.query, True))
        return HTTPStatus.NOT_FOUND, TEXT, b"/metrics /livez /readyz?verbose\n"

    async def _ready(self, verbose: bool) -> tuple[HTTPStatus, str, bytes]:
        report = await self._readiness.check()
        status = HTTPStatus.OK if report.is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        text = report.lines() if verbose else report.lines().rpartition("\n")[2]
        return status, TEXT, f"{text}\n".encode()


def _head(status: HTTPStatus, kind: str, length: int) -> bytes:
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {kind}\r\n"
        f"Content-Length: {length}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    ).encode()
