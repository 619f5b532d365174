"""One HTTP request and its answer: what ASGI gives, checked and easy to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chassis.errors import Cancelled, DeadlineExceeded, InvalidArgument, Violation

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# On every answer: it is data, to be shown by nobody but its reader.
SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]


# Of a body that is too long so much is read and forgotten: closed with unread bytes,
# the line would be reset before its client has read the answer.
DISCARD_BYTES = 1024 * 1024
DISCARD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a request is read."""

    uri: int
    header_bytes: int
    header_count: int
    body: int
    body_seconds: float


class Exchange:
    """A request as ASGI hands it over, and the one answer to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.verb: str = scope["method"]
        self.path: str = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        self.query: bytes = scope["query_string"]
        self.ip: str = (scope.get("client") or ("", 0))[0]
        self.receive = receive
        self.started = False
        """Whether the status is sent already: no other answer can follow."""

        self.status = 0
        self.label = "_unknown"
        """The route's template, for metrics and spans; never the path."""

        self.allow = ""
        """What the path takes, where the verb is another."""

        self.extra: Headers = []
        """Headers for the answer, whatever it will be."""

        self._send = send
        self._headers: Headers = list(scope["headers"])
        self._by_name: dict[bytes, bytes | None] = {}
        for name, value in self._headers:
            self._by_name[name] = None if name in self._by_name else value

    def check(self, limits: Limits) -> None:
        """Refuses what is too long before anything reads it."""
        if len(self.path) + len(self.query) > limits.uri:
            raise _too_large("uri", limits.uri)
        size = sum(len(name) + len(value) + 4 for name, value in self._headers)
        if size > limits.header_bytes or len(self._headers) > limits.header_count:
            raise _too_large("headers", limits.header_bytes)

    def header(self, name: bytes) -> str:
        """The one value of a header; empty when it is not there."""
        value = self._by_name.get(name, b"")
        if value is None:
            shown = name.decode("latin-1")
            raise InvalidArgument(
                "VALIDATION_FAILED",
                f"The header {shown} is given twice.",
                violations=[Violation(shown, "is given twice")],
            )
        return value.decode("latin-1").strip()

    def values(self, name: bytes) -> str:
        """All values of a header that may come several times, as one list."""
        return ", ".join(
            value.decode("latin-1") for key, value in self._headers if key == name
        )

    @property
    def has_body(self) -> bool:
        length = self._by_name.get(b"content-length", b"0")
        return length != b"0" or b"transfer-encoding" in self._by_name

    async def body(self, limits: Limits) -> bytes:
        """The whole body. A longer one than the limit is not read to its end."""
        length = self.header(b"content-length")
        is_long = length.isdecimal() and int(length[:20]) > limits.body
        try:
            async with asyncio.timeout(limits.body_seconds):
                body = None if is_long else await self._read(limits.body)
        except TimeoutError:
            self.extra.append((b"connection", b"close"))
            raise DeadlineExceeded(
                "DEADLINE_EXCEEDED", "The body did not come in time."
            ) from None
        if body is None:
            self.extra.append((b"connection", b"close"))
            with suppress(TimeoutError):
                async with asyncio.timeout(DISCARD_SECONDS):
                    await self._read(DISCARD_BYTES, keep=False)
            raise _too_large("body", limits.body)
        return body

    async def _read(self, limit: int, *, keep: bool = True) -> bytes | None:
        """The rest of the body; None when it is longer than limit."""
        chunks: list[bytes] = []
        size = 0
        while True:
            event = await self.receive()
            if event["type"] == "http.disconnect":
                raise Cancelled("CANCELLED")
            chunk = event.get("body", b"")
            size += len(chunk)
            if size > limit:
                return None
            if keep:
                chunks.append(chunk)
            if not event.get("more_body"):
                return b"".join(chunks)

    async def answer(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """The whole answer at once. HEAD gets the headers that GET would get."""
        if status not in (204, 304):
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self.start(status, headers)
        if self.verb == "HEAD":
            body = b""
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        self.status = status
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, *self.extra, *SECURITY],
            }
        )

    async def write(self, chunk: bytes, *, last: bool = False) -> None:
        """Part of an answer. Returns when the client's side takes more."""
        await self._send(
            {"type": "http.response.body", "body": chunk, "more_body": not last}
        )

    async def disconnected(self) -> None:
        """Returns once the client is gone."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


def _too_large(what: str, limit: int) -> InvalidArgument:
    return InvalidArgument(
        "REQUEST_TOO_LARGE",
        f"The {what} of the request may be {limit} bytes long.",
        metadata={"what": what, "limit": str(limit)},
    )
