"""Server streams over HTTP: resumed by position, alive by heartbeat, ended by a record.

When a service cuts a stream (it drains, or its connection grew old), the gateway
subscribes again after the last position that went out; the client does not notice.
A slow client is waited for: nothing is read from the service that it cannot take.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
from google.protobuf.message import Message

from chassis.errors import (
    MeshError,
    ResourceExhausted,
    Unavailable,
)

from . import problems
from .exchange import Exchange, Headers
from .frames import Frames
from .positions import Positions
from .routes import Route
from .upstreams import Upstream, in_json_names

QUEUED = 16
RETRY_MS = (1_000, 5_000)
BACKOFF = (0.1, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How long and how many."""

    heartbeat: float
    """Seconds of silence before something is said."""

    max_age: float
    """Seconds after which a client has to come again."""

    write_timeout: float
    """Seconds a client may take nothing before it is given up."""

    first: float
    """Seconds to wait for a refusal before the status is sent."""

    outage: float
    """Seconds of subscribing in vain before the client is told."""

    streams: int
    """Streams at a time in this process."""


class Streams:
    """Carries server streams to HTTP clients."""

    def __init__(self, *, limits: StreamLimits, draining: asyncio.Event) -> None:
        self._limits = limits
        self._draining = draining
        self._open = 0

    @property
    def open(self) -> int:
        """Streams being carried now."""
        return self._open

    async def carry(
        self,
        exchange: Exchange,
        *,
        route: Route,
        positions: Positions,
        upstream: Upstream,
        request: bytes,
        form: Frames,
        headers: Headers,
        max_age: float,
        still_allowed: Callable[[], Awaitable[None]],
    ) -> None:
        """The whole stream. Raises MeshError only as long as no status is sent.

        still_allowed is awaited now and then and raises when the caller's token does
        not count any more.
        """
        if self._open >= self._limits.streams or self._draining.is_set():
            raise ResourceExhausted(
                "STREAM_LIMIT", "Too many streams are open.", retry_after=5.0
            )
        stream = _Stream(
            exchange,
            route=route,
            positions=positions,
            upstream=upstream,
            request=request,
            form=form,
            headers=headers,
            limits=self._limits,
            draining=self._draining,
            until=_now() + min(max_age, self._limits.max_age),
            still_allowed=still_allowed,
        )
        self._open += 1
        try:
            await stream.run()
        finally:
            self._open -= 1


class _Stream:
    def __init__(
        self,
        exchange: Exchange,
        *,
        route: Route,
        positions: Positions,
        upstream: Upstream,
        request: bytes,
        form: Frames,
        headers: Headers,
        limits: StreamLimits,
        draining: asyncio.Event,
        until: float,
        still_allowed: Callable[[], Awaitable[None]],
    ) -> None:
        self._exchange = exchange
        self._route = route
        self._positions = positions
        self._upstream = upstream
        self._request = request
        self._form = form
        self._headers = headers
        self._limits = limits
        self._draining = draining
        self._until = until
        self._still_allowed = still_allowed
        # Messages, then at last an error, or None for the end.
        self._queue: asyncio.Queue[Message | MeshError | None] = asyncio.Queue(QUEUED)
        self._refused: MeshError | None = None
        self._recheck = _now() + limits.heartbeat
        # Goes out with the first message.
        self._before = form.retry(random.randint(*RETRY_MS))

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(self._exchange.disconnected()),
                    group.create_task(self._draining.wait()),
                    group.create_task(self._read()),
                ]
                client = group.create_task(self._write())
                await asyncio.wait(
                    [client, *helpers[:2]], return_when=asyncio.FIRST_COMPLETED
                )
                if helpers[1].done() and not client.done():
                    self._queue_end()
                    await client
                for task in (*helpers, client):
                    task.cancel()
        except* (OSError, TimeoutError):
            # The client's side broke, or took nothing for too long.
            pass
        if self._refused is not None:
            raise self._refused

    def _queue_end(self) -> None:
        """The end comes before what was not sent yet: the position covers that."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    # From the service.

    async def _read(self) -> None:
        """Puts messages into the queue, across cuts; waits while it is full."""
        position, failing_since, attempt = "", 0.0, 0
        while True:
            call = self._upstream.stream(
                self._positions.resumed(self._request, position)
            )
            try:
                while (wire := await call.read()) is not grpc.aio.EOF:
                    message = self._route.writer.parse(wire)
                    await self._queue.put(message)
                    position = self._positions.position(message) or position
                    failing_since, attempt = 0.0, 0
                await self._queue.put(None)
                return
            except MeshError as error:
                in_json_names(error)
                failing_since = failing_since or _now()
                if not self._goes_on(error, failing_since):
                    await self._queue.put(error)
                    return
            finally:
                call.cancel()
            attempt += 1
            await asyncio.sleep(
                random.uniform(0.5, 1.0) * min(BACKOFF[1], BACKOFF[0] * 2**attempt)
            )

    def _goes_on(self, error: MeshError, failing_since: float) -> bool:
        return (
            isinstance(error, Unavailable)
            and self._positions.can_resume
            and self._exchange.started
            and _now() - failing_since < self._limits.outage
        )

    # To the client.

    async def _write(self) -> None:
        first = await self._next(self._limits.first)
        if isinstance(first, MeshError):
            self._refused = first
            return
        await self._exchange.start(200, self._headers)
        await self._send(self._form.opening())
        item = first
        while True:
            if item is None:
                await self._send(self._form.end(), last=True)
                return
            if isinstance(item, MeshError):
                await self._send(self._form.error(_status(item)), last=True)
                return
            if isinstance(item, Message):
                await self._send(self._framed(item))
            elif _now() >= self._until:
                await self._send(self._form.end(), last=True)
                return
            item = await self._allowed() or await self._next(
                min(self._limits.heartbeat, max(0.0, self._until - _now()))
            )
            if item is SILENCE:
                await self._send(self._form.heartbeat())

    async def _next(self, wait: float) -> Any:
        """The next thing in the queue, or SILENCE."""
        try:
            async with asyncio.timeout(wait):
                return await self._queue.get()
        except TimeoutError:
            return SILENCE

    async def _allowed(self) -> MeshError | None:
        """Asks now and then whether the caller may still listen."""
        if _now() < self._recheck:
            return None
        self._recheck = _now() + self._limits.heartbeat
        try:
            await self._still_allowed()
        except MeshError as error:
            return error
        return None

    def _framed(self, message: Message) -> bytes:
        before, self._before = self._before, b""
        return before + self._form.message(
            self._route.writer.write(message),
            position=self._positions.position(message),
            event=self._positions.event(message),
        )

    async def _send(self, chunk: bytes, *, last: bool = False) -> None:
        if chunk or last:
            async with asyncio.timeout(self._limits.write_timeout):
                await self._exchange.write(chunk, last=last)


SILENCE: Any = object()


def _status(error: MeshError) -> bytes:
    return orjson.dumps(problems.value_of(error, ""))


def _now() -> float:
    return asyncio.get_running_loop().time()
