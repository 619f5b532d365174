"""Calls of a long import, made again when the mesh asks for a moment's patience.

The gateway is the one layer of the mesh that retries. An import is a client of it:
it waits as RetryInfo says. All its calls are idempotent.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay

from chassis.errors import (
    DeadlineExceeded,
    MeshError,
    ResourceExhausted,
    Unavailable,
)

T = TypeVar("T")

# How long one call may go on failing before the import gives up.
PATIENCE_SECONDS = 60.0
LEAST_WAIT, MOST_WAIT = 0.05, 5.0


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """The answer of call(), made again while it says UNAVAILABLE or overloaded."""

    async def attempt() -> T:
        return await call()

    retrying = AsyncRetrying(
        retry=retry_if_exception(_passes),
        wait=_wait,
        stop=stop_after_delay(PATIENCE_SECONDS),
        reraise=True,
    )
    return await retrying(attempt)


def _passes(error: BaseException) -> bool:
    return isinstance(error, (Unavailable, ResourceExhausted, DeadlineExceeded))


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, MeshError) else None
    growing = LEAST_WAIT * 2.0 ** min(state.attempt_number, 7)
    return min(MOST_WAIT, max(asked or 0.0, growing))
