"""A keep-alive HTTP client that costs little: answers have a length, or are streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class HttpError(Exception):
    """An answer that is none of success."""


class Connection:
    """One connection, for one request at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str, headers: bytes = b"") -> bytes:
        """The body of a 200 answer."""
        return await self._call(b"GET " + path.encode(), headers)

    async def post(self, path: str, headers: bytes, body: bytes) -> bytes:
        """The body of a 201 answer."""
        headers += b"content-type: application/json\r\n"
        headers += f"content-length: {len(body)}\r\n".encode()
        return await self._call(b"POST " + path.encode(), headers, body)

    async def listen(self, path: str, headers: bytes) -> AsyncIterator[bytes]:
        """The lines of an endless answer, once its head has come."""
        headers += b"accept: text/event-stream\r\n"
        self._send(b"GET " + path.encode(), headers)
        if not _is_success(head := await self._head()):
            raise HttpError(head.decode(errors="replace"))
        while line := await self._reader.readline():
            yield line

    async def _call(self, line: bytes, headers: bytes, body: bytes = b"") -> bytes:
        self._send(line, headers, body)
        head = await self._head()
        at = head.index(b"content-length:") + len(b"content-length:")
        length = int(head[at : head.index(b"\r\n", at)])
        answer = await self._reader.readexactly(length)
        if not _is_success(head):
            raise HttpError(answer.decode(errors="replace"))
        return answer

    def _send(self, line: bytes, headers: bytes, body: bytes = b"") -> None:
        self._writer.write(
            line + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n" + headers + b"\r\n" + body
        )

    async def _head(self) -> bytes:
        return (await self._reader.readuntil(b"\r\n\r\n")).lower()


def _is_success(head: bytes) -> bool:
    return head.split(b" ", 2)[1].startswith(b"20")


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Connection]:
    """A connection to a loopback port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


def bearer(token: str) -> bytes:
    """The header that shows a token."""
    return f"authorization: Bearer {token}\r\n".encode()
