"""Shards: key -> one of 1,024 virtual shards -> database.

The virtual shard of a key never changes. Which database holds it does, when
virtual shards are moved to a new one.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry

from chassis.postgres import Pool, PostgresSettings, open_pool

K = TypeVar("K", bound=int)

VIRTUAL = 1024

# Knuth's multiplicative hash: neighbouring ids, and ids of one node, part company.
_FACTOR = 0x9E37_79B9_7F4A_7C15
_WORD = (1 << 64) - 1
_SHIFT = 64 - 10


def virtual_shard(key: int) -> int:
    """The virtual shard of a key, for all time."""
    return (key * _FACTOR & _WORD) >> _SHIFT


class Shards:
    """The pools of all databases. Opened by open_shards()."""

    def __init__(self, *, pools: Sequence[Pool], places: Sequence[int]) -> None:
        """`places` says for each virtual shard which pool holds it."""
        self._pools = list(pools)
        self._places = list(places)

    def pool(self, key: int) -> Pool:
        """The database that holds the key."""
        return self._pools[self._places[virtual_shard(key)]]

    def group(self, keys: Iterable[K]) -> Iterator[tuple[Pool, list[K]]]:
        """The keys by database, in their order."""
        if len(self._pools) == 1:
            if whole := list(keys):
                yield self._pools[0], whole
            return
        groups: dict[int, list[K]] = {}
        for key in keys:
            groups.setdefault(self._places[virtual_shard(key)], []).append(key)
        for place, group in groups.items():
            yield self._pools[place], group

    def all(self) -> list[Pool]:
        """Every database, for what is not asked by key."""
        return list(self._pools)

    async def ping(self) -> None:
        """Raises unless every database answers."""
        for pool in self._pools:
            await pool.ping()


def even_places(databases: int) -> list[int]:
    """Equal runs of virtual shards for each database."""
    return [shard * databases // VIRTUAL for shard in range(VIRTUAL)]


@asynccontextmanager
async def open_shards(
    settings: PostgresSettings | Sequence[PostgresSettings],
    *,
    places: Sequence[int] | None = None,
    metrics: CollectorRegistry | None = None,
) -> AsyncIterator[Shards]:
    """Opens a pool for each database; one database is all shards."""
    databases = [settings] if isinstance(settings, PostgresSettings) else settings
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(open_pool(database, metrics=metrics))
            for database in databases
        ]
        yield Shards(pools=pools, places=places or even_places(len(pools)))
