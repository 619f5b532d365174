"""Writes that may fail now and are made good later, beside everything else."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import Context

import structlog

from chassis.errors import Unavailable
from chassis.valkey import Valkey

log = structlog.get_logger(__name__)

_DELAYS = (0.1, 5.0)
_MOST = 10_000
# Of a key in the log: one write may be about a thousand ids.
_SHOWN = 80


class Retries:
    """Repeats idempotent writes until they succeed, in the order they were made.

    A write replaces an older one of the same key. Beyond 10,000 the oldest are
    given up: by then whatever they mark has long expired. They are made as soon as
    Valkey answers again: readers wait that long before they believe it.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._pending: dict[str, Callable[[], Awaitable[object]]] = {}
        self._is_back = asyncio.Event()
        valkey.on_return(self._is_back.set)
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._pending)

    async def attempt(self, key: str, write: Callable[[], Awaitable[object]]) -> bool:
        """Writes now, or later when that fails; whether it was now."""
        try:
            await write()
        except Unavailable as error:
            self._add(key, write)
            log.warning("write_put_off", key=key[:_SHOWN], error=str(error))
            return False
        return True

    def _add(self, key: str, write: Callable[[], Awaitable[object]]) -> None:
        self._pending.pop(key, None)
        self._pending[key] = write
        if len(self._pending) > _MOST:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            log.error("write_given_up", key=oldest)
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        delay = _DELAYS[0]
        while self._pending:
            await self._pause(delay)
            key, write = next(iter(self._pending.items()))
            try:
                await write()
            except Unavailable:
                delay = min(max(2 * delay, _DELAYS[0]), _DELAYS[1])
                continue
            except Exception:
                # A fault of ours: it must not keep the writes behind it waiting.
                log.exception("write_failed", key=key)
            delay = 0
            if self._pending.get(key) is write:
                del self._pending[key]

    async def _pause(self, seconds: float) -> None:
        """Ends early when Valkey is back."""
        self._is_back.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_back.wait()
