"""How long is left: one remainder for a call, read by whatever it calls in turn."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar

from chassis.errors import DeadlineExceeded

TRIM = 0.005
"""Seconds kept back at each hop, so that it can still report its own timeout."""

# When the current call must be done, in the loop's time.
_due: ContextVar[float | None] = ContextVar("due", default=None)


def remaining() -> float | None:
    """Seconds left of the current call, 0 when over; None when nothing limits it."""
    due = _due.get()
    return None if due is None else max(0.0, due - asyncio.get_running_loop().time())


def bound(own: float) -> float:
    """The shorter of own and what remains: the timeout for a driver or a call.

    Raises DeadlineExceeded when nothing remains.
    """
    left = remaining()
    if left is None:
        return own
    if left <= 0:
        raise exceeded()
    return min(own, left)


def enter(seconds: float | None) -> None:
    """Limits the rest of the current task; None takes a limit away."""
    loop = asyncio.get_running_loop()
    _due.set(None if seconds is None else loop.time() + seconds)


@contextlib.asynccontextmanager
async def limit(seconds: float) -> AsyncIterator[None]:
    """Limits a block to seconds, or to what remains if that is shorter.

    Raises DeadlineExceeded when the time is up, also from inside the block.
    """
    seconds = bound(seconds)
    token = _due.set(asyncio.get_running_loop().time() + seconds)
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            yield
    except TimeoutError as error:
        if timer.expired():
            raise exceeded() from error
        raise
    finally:
        _due.reset(token)


def exceeded() -> DeadlineExceeded:
    """The error for a time that is up."""
    return DeadlineExceeded("DEADLINE_EXCEEDED", "the deadline is over")
