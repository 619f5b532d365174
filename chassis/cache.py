"""Near caches: bounded, short-lived, and one load for all who want the same."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from cachetools import TTLCache

from chassis import deadline
from chassis.clock import Clock

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class CacheStats:
    """What a cache did so far."""

    hits: int
    misses: int
    items: int


class NearCache(Generic[K, V]):
    """Values of this process: the least recently used go first, and none is older
    than ttl. What says that a value changed is up to the caller."""

    def __init__(self, *, max_items: int, ttl: timedelta | float, clock: Clock) -> None:
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        self._items: TTLCache[K, V] = TTLCache(max_items, seconds, clock.monotonic)
        self._hits = 0
        self._misses = 0

    def get(self, key: K) -> V | None:
        value = self._items.get(key)
        if value is None:
            self._misses += 1
        else:
            self._hits += 1
        return value

    def put(self, key: K, value: V) -> None:
        self._items[key] = value

    def drop(self, key: K) -> None:
        self._items.pop(key, None)

    def clear(self) -> None:
        self._items.clear()

    def stats(self) -> CacheStats:
        return CacheStats(self._hits, self._misses, len(self._items))


class SingleFlight(Generic[K, V]):
    """Concurrent loads of one key share one load.

    A load belongs to nobody: a waiter that is cancelled, or whose deadline is
    short, does not end it for the others. Its error reaches all who wait; the next
    one to ask loads again.
    """

    def __init__(self, *, limit: float = 1.0) -> None:
        """`limit` is the deadline of a load, in seconds."""
        self._limit = limit
        self._loads: dict[K, asyncio.Task[Mapping[K, V]]] = {}

    async def load_many(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Awaitable[Mapping[K, V]]],
    ) -> dict[K, V]:
        """The values by key; what the loader did not find is not there.

        The loader is asked once for all keys that nobody is loading yet.
        """
        wanted = list(dict.fromkeys(keys))
        missing = [key for key in wanted if key not in self._loads]
        if missing:
            self._start(missing, loader)
        # Noted before the first wait: a load that ends is forgotten.
        loads = {key: self._loads[key] for key in wanted}
        found: dict[K, V] = {}
        for key, task in loads.items():
            values = await asyncio.shield(task)
            if key in values:
                found[key] = values[key]
        return found

    def begin(
        self,
        keys: Iterable[K],
        loader: Callable[[list[K]], Awaitable[Mapping[K, V]]],
    ) -> None:
        """Loads what nobody is loading yet, and waits for nothing.

        For values that are refreshed while the old ones still serve. The loader sees
        to it that the new ones are kept.
        """
        missing = [key for key in dict.fromkeys(keys) if key not in self._loads]
        if missing:
            self._start(missing, loader)

    def _start(
        self, keys: list[K], loader: Callable[[list[K]], Awaitable[Mapping[K, V]]]
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._load(keys, loader))
        for key in keys:
            self._loads[key] = task
        task.add_done_callback(functools.partial(self._forget, keys))

    async def _load(
        self, keys: list[K], loader: Callable[[list[K]], Awaitable[Mapping[K, V]]]
    ) -> Mapping[K, V]:
        # Not the deadline of the call that happened to come first.
        deadline.enter(None)
        async with deadline.limit(self._limit):
            return await loader(keys)

    def _forget(self, keys: list[K], task: asyncio.Task[Mapping[K, V]]) -> None:
        for key in keys:
            del self._loads[key]
        if not task.cancelled():
            # Waiters raise it; when all of them left, nobody needs to hear of it.
            task.exception()
