"""The HTTP port: uvicorn on our loop, with limits that hold before ASGI sees a byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import Any

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chassis.errors import DeadlineExceeded, InvalidArgument, MeshError
from chassis.tasks import beside

from . import problems
from .edge import Edge
from .exchange import Limits
from .settings import GatewaySettings

BACKLOG = 1024
KEEP_ALIVE = 30
REQUEST_TIMEOUT = 408

# Seconds in which a refused client can read why.
LINGER = 1.0


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose heads are bounded in size and time.

    llhttp gathers a header for as long as it comes, so the bytes of an unfinished
    head are counted here; a head that does not end in time is cut off.
    """

    limits: Limits
    head_seconds: float

    _in_head = True
    _head_bytes = 0
    _header_count = 0
    _header_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _refusal: MeshError | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        most = self.limits.uri + self.limits.header_bytes
        if self._in_head and self._head_bytes > most and self.parser is not None:
            self._refusal = _too_large("headers", self.limits.header_bytes)
            self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_count = self._header_bytes = 0
        if not self._in_head:
            self._begin_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.uri:
            self._refuse(_too_large("uri", self.limits.uri))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._header_bytes += len(name) + len(value) + 4
        too_many = self._header_count > self.limits.header_count
        if too_many or self._header_bytes > self.limits.header_bytes:
            self._refuse(_too_large("headers", self.limits.header_bytes))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers a request that never became one, in the form of all errors."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        refused = self._refusal or InvalidArgument(
            "VALIDATION_FAILED", "This is not a valid request."
        )
        status = problems.status_of(refused)
        if isinstance(refused, DeadlineExceeded):
            status = REQUEST_TIMEOUT
        body = orjson.dumps(problems.value_of(refused, ""))
        head = (
            f"HTTP/1.1 {status} {problems.title(status)}\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        # Closed with unread bytes, the line would be reset before the answer is read.
        self.transport.write_eof()
        self._stop_timer()
        self._timer = self.loop.call_later(LINGER, self.transport.close)

    def _begin_head(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._stop_timer()
        self._timer = self.loop.call_later(self.head_seconds, self._late)

    def _late(self) -> None:
        self._refusal = DeadlineExceeded(
            "DEADLINE_EXCEEDED", "The request did not come in time."
        )
        self.send_400_response("")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: MeshError) -> None:
        # Raised out of the parser, which answers with send_400_response.
        self._refusal = error
        raise error


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: chassis.run has those."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Listener:
    """The open port. Made by open_listener alone."""

    def __init__(
        self, *, server: uvicorn.Server, port: int, draining: asyncio.Event
    ) -> None:
        self.port = port
        self._server = server
        self._draining = draining
        self._closed = asyncio.Event()

    async def serve(self, sock: socket.socket) -> None:
        try:
            await self._server.serve(sockets=[sock])
        finally:
            self._closed.set()

    async def drain(self, linger: float) -> None:
        """Not ready, then deaf: streams end, requests under way finish."""
        self._draining.set()
        await asyncio.sleep(linger)
        self._server.should_exit = True
        await self._closed.wait()


@contextlib.asynccontextmanager
async def open_listener(
    edge: Edge, settings: GatewaySettings, *, draining: asyncio.Event
) -> AsyncIterator[Listener]:
    """Listens inside the block. OSError when the port is taken."""
    protocol: Any = type(
        "GuardedProtocol",
        (GuardedProtocol,),
        {"limits": settings.limits, "head_seconds": settings.head_seconds},
    )
    server = _Server(
        uvicorn.Config(
            edge,
            http=protocol,
            ws="none",
            lifespan="off",
            loop="none",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            reset_contextvars=True,
        )
    )
    sock = _bound(settings)
    listener = Listener(server=server, port=sock.getsockname()[1], draining=draining)
    async with beside(listener.serve(sock)):
        try:
            yield listener
        finally:
            await listener.drain(0)


def _bound(settings: GatewaySettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named, so that the loop knows it for TCP and turns Nagle's delay off.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((settings.host, settings.port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _too_large(what: str, limit: int) -> InvalidArgument:
    return InvalidArgument(
        "REQUEST_TOO_LARGE",
        f"The {what} of the request may be {limit} bytes long.",
        metadata={"what": what, "limit": str(limit)},
    )
