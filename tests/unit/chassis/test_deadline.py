"""How much time is left."""

import asyncio

import pytest

from chassis import deadline
from chassis.errors import DeadlineExceeded
from chassis.testing import refuses


async def test_nothing_limits_what_has_no_deadline() -> None:
    """Outside of a call a timeout is one's own."""
    assert deadline.remaining() is None
    assert deadline.bound(3) == 3


async def test_bound_is_the_shorter() -> None:
    """A driver waits no longer than its caller does."""
    async with deadline.limit(1):
        assert deadline.bound(0.2) == 0.2
        assert 0.9 < deadline.bound(5) <= 1
    assert deadline.remaining() is None


async def test_inner_limit_cannot_be_longer() -> None:
    """A part of a call has no more time than the whole."""
    async with deadline.limit(0.5), deadline.limit(60):
        left = deadline.remaining()

    assert left is not None
    assert left <= 0.5


async def test_limit_ends_what_waits() -> None:
    """The wait ends with the error that callers know."""
    with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
        async with deadline.limit(0.01):
            await asyncio.Event().wait()


async def test_time_out_of_something_else_passes() -> None:
    """A TimeoutError that is not of the limit is not blamed on it."""
    with pytest.raises(TimeoutError):
        async with deadline.limit(10):
            raise TimeoutError


async def test_nothing_begins_when_nothing_is_left() -> None:
    """A call that cannot be met is not made."""
    deadline.enter(0)

    with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
        deadline.bound(1)


async def test_tasks_of_a_call_share_its_remainder() -> None:
    """A task group inside a call is under the same deadline."""
    async with deadline.limit(1), asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.to_thread(lambda: None))
        left = group.create_task(_remaining())
        await task

    assert left.result() is not None


async def _remaining() -> float | None:
    return deadline.remaining()
