"""How messages of a stream look on the way to a client: SSE, NDJSON, a JSON array.

Each form ends with a record of its own, so that a client can tell an end from a cut:
`end` when the stream is over, `error` with a google.rpc.Status when it failed.
"""

from __future__ import annotations

from typing import Protocol

from . import headers

# Bytes that would end a line of SSE, or the field in it.
BREAKS = str.maketrans("", "", "\r\n\0")


class Frames(Protocol):
    """Turns what happens on one stream into bytes."""

    media: bytes

    def opening(self) -> bytes: ...

    def retry(self, milliseconds: int) -> bytes:
        """What goes before the first message: when to come again after a cut."""
        ...

    def message(self, json: bytes, *, position: str, event: str) -> bytes: ...

    def heartbeat(self) -> bytes:
        """What keeps the connection alive and no client takes for a message."""
        ...

    def end(self) -> bytes: ...

    def error(self, status: bytes) -> bytes: ...


class Sse:
    """Server-sent events."""

    media = headers.SSE.encode()

    def opening(self) -> bytes:
        return b": stream\n"

    def retry(self, milliseconds: int) -> bytes:
        return b"retry: %d\n" % milliseconds

    def message(self, json: bytes, *, position: str, event: str) -> bytes:
        # JSON on one line: the writer escapes every line break in it.
        lines = []
        if position:
            lines.append(b"id: " + position.translate(BREAKS).encode())
        if event:
            lines.append(b"event: " + event.translate(BREAKS).encode())
        lines.append(b"data: " + json)
        return b"\n".join(lines) + b"\n\n"

    def heartbeat(self) -> bytes:
        # Without an empty line, which some clients take for an event.
        return b": heartbeat\n"

    def end(self) -> bytes:
        return b"event: end\ndata: {}\n\n"

    def error(self, status: bytes) -> bytes:
        return b"event: error\ndata: " + status + b"\n\n"


class Ndjson:
    """One JSON object a line: {"result": …}, at last {"end": {}} or {"error": …}."""

    media = headers.NDJSON.encode()

    def opening(self) -> bytes:
        return b""

    def retry(self, milliseconds: int) -> bytes:
        return b""

    def message(self, json: bytes, *, position: str, event: str) -> bytes:
        return b'{"result":' + json + b"}\n"

    def heartbeat(self) -> bytes:
        return b"\n"

    def end(self) -> bytes:
        return b'{"end":{}}\n'

    def error(self, status: bytes) -> bytes:
        return b'{"error":' + status + b"}\n"


class JsonArray:
    """One JSON array of the same objects."""

    media = headers.JSON.encode()

    def opening(self) -> bytes:
        return b"[\n"

    def retry(self, milliseconds: int) -> bytes:
        return b""

    def message(self, json: bytes, *, position: str, event: str) -> bytes:
        return b'{"result":' + json + b"},\n"

    def heartbeat(self) -> bytes:
        return b"\n"

    def end(self) -> bytes:
        return b'{"end":{}}]\n'

    def error(self, status: bytes) -> bytes:
        return b'{"error":' + status + b"}]\n"


OFFERED = (headers.SSE, headers.NDJSON, headers.JSON)


def frames(media: str) -> Frames:
    """The form of a media type that is offered."""
    forms: dict[str, Frames] = {
        headers.SSE: Sse(),
        headers.NDJSON: Ndjson(),
        headers.JSON: JsonArray(),
    }
    return forms[media]
