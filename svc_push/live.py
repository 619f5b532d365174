"""Live hints over core NATS: small, quick, and allowed to be lost."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import orjson

from chassis.bus import Bus

from .model import (
    Change,
    Hint,
    Kind,
    Position,
    PostId,
    ProcessName,
    SignalKind,
    UserId,
)

# Readers in one message: about 20 KB.
BATCH = 500

# What every process hears.
EVERYWHERE = "live.everywhere"

Body = list[str | int]


class NatsLiveHints:
    """LiveHints on core NATS, as JSON arrays: few fields, the same for all readers."""

    def __init__(self, *, bus: Bus) -> None:
        self._bus = bus

    async def send(
        self, process: ProcessName, change: Change, hints: Sequence[Hint]
    ) -> None:
        body = _body(change)
        for start in range(0, len(hints), BATCH):
            readers = [
                (hint.viewer, hint.position.epoch, hint.position.sequence)
                for hint in hints[start : start + BATCH]
            ]
            await self._bus.hint(_hints_to(process), orjson.dumps([body, readers]))

    async def signal(
        self, process: ProcessName, viewer: UserId, kind: SignalKind
    ) -> None:
        await self._bus.hint(_signals_to(process), orjson.dumps([viewer, kind.value]))

    async def announce(self, change: Change, visibility: int) -> None:
        await self._bus.hint(
            _by_author(change.author_id), orjson.dumps([_body(change), visibility])
        )

    async def broadcast(self, change: Change) -> None:
        await self._bus.hint(EVERYWHERE, orjson.dumps(_body(change)))

    @asynccontextmanager
    async def listen(
        self,
        process: ProcessName,
        *,
        on_hints: Callable[[Change, Sequence[Hint]], Awaitable[None]],
        on_signal: Callable[[UserId, SignalKind], Awaitable[None]],
        on_broadcast: Callable[[Change], Awaitable[None]],
    ) -> AsyncIterator[None]:
        async def hints(payload: bytes) -> None:
            body, readers = orjson.loads(payload)
            await on_hints(
                _change(body),
                [
                    Hint(UserId(viewer), Position(epoch, sequence))
                    for viewer, epoch, sequence in readers
                ],
            )

        async def signals(payload: bytes) -> None:
            viewer, kind = orjson.loads(payload)
            await on_signal(UserId(viewer), SignalKind(kind))

        async def everywhere(payload: bytes) -> None:
            await on_broadcast(_change(orjson.loads(payload)))

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._bus.listen(_hints_to(process), hints))
            await stack.enter_async_context(
                self._bus.listen(_signals_to(process), signals)
            )
            await stack.enter_async_context(self._bus.listen(EVERYWHERE, everywhere))
            yield

    @asynccontextmanager
    async def listen_author(
        self, author: UserId, *, on_change: Callable[[Change, int], Awaitable[None]]
    ) -> AsyncIterator[None]:
        async def announced(payload: bytes) -> None:
            body, visibility = orjson.loads(payload)
            await on_change(_change(body), visibility)

        async with self._bus.listen(_by_author(author), announced):
            yield


def _hints_to(process: ProcessName) -> str:
    return f"live.process.{process}"


def _signals_to(process: ProcessName) -> str:
    return f"live.signal.{process}"


def _by_author(author: UserId) -> str:
    return f"live.author.{author}"


def _body(change: Change) -> Body:
    return [
        *(change.kind.value, change.post_id, change.author_id),
        *(change.version, change.occurred_ms),
    ]


def _change(body: list[str | int]) -> Change:
    kind, *numbers = body
    post, author, version, occurred = map(int, numbers)
    return Change(Kind(kind), PostId(post), UserId(author), version, occurred)
