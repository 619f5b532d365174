"""Near caches and shared loads."""

import asyncio
from collections.abc import Mapping

import pytest

from chassis import deadline
from chassis.cache import CacheStats, NearCache, SingleFlight
from chassis.errors import DeadlineExceeded, Unavailable
from chassis.testing import FakeClock, refuses


def test_a_value_is_kept_for_its_time() -> None:
    """None is older than the ttl."""
    clock = FakeClock()
    cache: NearCache[int, str] = NearCache(max_items=2, ttl=30, clock=clock)
    cache.put(1, "a")
    clock.advance(29)
    assert cache.get(1) == "a"

    clock.advance(1)
    assert cache.get(1) is None
    assert cache.stats() == CacheStats(hits=1, misses=1, items=0)


def test_the_least_recently_used_value_goes_first() -> None:
    """Memory is bounded."""
    cache: NearCache[int, str] = NearCache(max_items=2, ttl=30, clock=FakeClock())
    cache.put(1, "a")
    cache.put(2, "b")
    cache.get(1)
    cache.put(3, "c")

    assert (cache.get(1), cache.get(2), cache.get(3)) == ("a", None, "c")


def test_values_are_dropped_singly_and_all() -> None:
    """Dropping what is not there is no error."""
    cache: NearCache[int, str] = NearCache(max_items=9, ttl=30, clock=FakeClock())
    for key in (1, 2, 3):
        cache.put(key, "x")
    cache.drop(1)
    cache.drop(1)
    assert (cache.get(1), cache.get(2)) == (None, "x")

    cache.clear()
    assert cache.get(2) is None


class Loader:
    """A loader that waits to be let go, and remembers what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[list[int]] = []
        self.left: float | None = None
        self._go = asyncio.Event()
        self._error = error

    def go(self) -> None:
        self._go.set()

    async def __call__(self, keys: list[int]) -> Mapping[int, str]:
        self.asked.append(keys)
        self.left = deadline.remaining()
        await self._go.wait()
        if self._error is not None:
            raise self._error
        return {key: f"v{key}" for key in keys if key < 100}


async def test_concurrent_loads_of_a_key_are_one() -> None:
    """Each key is asked for once; keys that nobody loads yet go together."""
    flight: SingleFlight[int, str] = SingleFlight()
    loader = Loader()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(flight.load_many([1, 2, 100], loader))
        second = group.create_task(flight.load_many([2, 3, 3], loader))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loader.go()

    assert loader.asked == [[1, 2, 100], [3]]
    assert first.result() == {1: "v1", 2: "v2"}
    assert second.result() == {2: "v2", 3: "v3"}


async def test_a_waiter_that_leaves_does_not_end_the_load() -> None:
    """A load belongs to all who wait for it."""
    flight: SingleFlight[int, str] = SingleFlight()
    loader = Loader()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(flight.load_many([1], loader))
        second = group.create_task(flight.load_many([1], loader))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        loader.go()

    assert first.cancelled()
    assert second.result() == {1: "v1"}
    assert len(loader.asked) == 1


async def test_an_error_reaches_all_who_wait_and_nobody_after_them() -> None:
    """The next one to ask loads again."""
    flight: SingleFlight[int, str] = SingleFlight()
    broken = Loader(Unavailable("DEPENDENCY_UNAVAILABLE"))
    broken.go()
    outcomes = await asyncio.gather(
        flight.load_many([1], broken),
        flight.load_many([1, 2], broken),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]

    working = Loader()
    working.go()
    assert await flight.load_many([1, 2], working) == {1: "v1", 2: "v2"}


async def test_a_load_has_a_deadline_of_its_own() -> None:
    """The call that came first may have little time left; the others have more."""
    flight: SingleFlight[int, str] = SingleFlight(limit=0.5)
    loader = Loader()
    with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
        async with deadline.limit(0.01):
            await flight.load_many([1], loader)
    assert loader.left is not None
    assert loader.left > 0.4

    loader.go()
    assert await flight.load_many([1], loader) == {1: "v1"}
    assert len(loader.asked) == 1


async def test_a_load_that_hangs_ends() -> None:
    """Nothing is stuck for good."""
    flight: SingleFlight[int, str] = SingleFlight(limit=0.01)
    with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
        await flight.load_many([1], Loader())

    working = Loader()
    working.go()
    assert await flight.load_many([1], working) == {1: "v1"}


async def test_a_loader_that_fails_at_once_is_no_different() -> None:
    """Errors of any kind pass."""

    async def broken(keys: list[int]) -> Mapping[int, str]:
        raise ZeroDivisionError

    flight: SingleFlight[int, str] = SingleFlight()
    with pytest.raises(ZeroDivisionError):
        await flight.load_many([1], broken)
