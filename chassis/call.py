"""A call under way: as grpc.aio gives it, but failing with MeshErrors."""

from collections.abc import AsyncIterator, Generator
from typing import Any

import grpc
from grpc.aio import AioRpcError

from chassis.errors import MeshError
from chassis.telemetry import Measured
from chassis.wire import from_rpc_error


class Call:
    """Await it, iterate over it or read from it; all else is the inner call's."""

    def __init__(self, inner: Any, measured: Measured) -> None:
        """inner is one of the four call types of grpc.aio."""
        self._inner = inner
        self._measured = measured
        inner.add_done_callback(self._done)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            response = yield from self._inner.__await__()
        except AioRpcError as error:
            raise self._failed(error) from error
        self._measured.end("OK")
        return response

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for message in self._inner:
                yield message
        except AioRpcError as error:
            raise self._failed(error) from error
        self._measured.end("OK")

    async def read(self) -> Any:
        """The next message of a stream, or grpc.aio.EOF at its end."""
        try:
            message = await self._inner.read()
        except AioRpcError as error:
            raise self._failed(error) from error
        if message is grpc.aio.EOF:
            self._measured.end("OK")
        return message

    async def write(self, message: Any) -> None:
        """Sends a message on a stream of requests."""
        try:
            await self._inner.write(message)
        except AioRpcError as error:
            raise self._failed(error) from error

    def _failed(self, error: AioRpcError) -> MeshError:
        failure = from_rpc_error(error)
        self._measured.end(failure.status)
        return failure

    def _done(self, _: object) -> None:
        """Whoever was to see the end is told first; a cancelled call has nobody."""
        if self._inner.cancelled():
            self._measured.end("CANCELLED")
        self._measured.leave()
