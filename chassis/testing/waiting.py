"""Waiting for what happens by itself, and for what must be refused."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import TypeVar, overload

import pytest

from chassis.errors import MeshError

T = TypeVar("T")

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.2


@overload
async def eventually(check: Callable[[], Awaitable[T]], timeout: float = ...) -> T: ...
@overload
async def eventually(check: Callable[[], T], timeout: float = ...) -> T: ...
async def eventually(check: Callable[[], Awaitable[T] | T], timeout: float = 10) -> T:
    """What `check` returns, asked again until it neither fails nor returns False.

    An AssertionError means "not yet", and so do a MeshError and an OSError: a
    peer may still be starting. The last one is raised when time is up.
    """
    pause = _FIRST_PAUSE
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        try:
            answer = check()
            value: T = await answer if isawaitable(answer) else answer
        except (AssertionError, MeshError, OSError):
            if loop.time() > deadline:
                raise
        else:
            if value is not False:
                return value
            assert loop.time() <= deadline, f"still false after {timeout:g} s: {check}"
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


@contextmanager
def refuses(error: type[MeshError], reason: str) -> Iterator[None]:
    """The block must raise exactly this error, for this reason."""
    with pytest.raises(MeshError) as caught:
        yield
    assert (type(caught.value), caught.value.reason) == (error, reason)
