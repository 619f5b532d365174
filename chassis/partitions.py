"""Range partitions over time-ordered ids: made ahead, dropped behind.

A migration creates the parent table and says in its comment how it is cut:

    COMMENT ON TABLE post IS 'partitions: width 7 days, ahead 4';
    COMMENT ON TABLE outbox IS 'partitions: width 1 day, ahead 7, keep 8 days';

`migrate` makes the first set; the worker role keeps ahead of the clock.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from chassis import ids
from chassis.clock import Clock
from chassis.errors import MeshError
from chassis.postgres import Pool, Statements

log = structlog.get_logger(__name__)

_PREFIX = "partitions:"
_CHECK_SECONDS = 3600.0
_RETRY_SECONDS = 30.0

# Held while partitions are looked up and made, so that two processes do not race.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('partitions'))"

PARENTS = """
SELECT c.relname, obj_description(c.oid, 'pg_class') AS comment
FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
WHERE p.partstrat = 'r' AND c.relnamespace = 'public'::regnamespace
ORDER BY c.relname
"""

CHILDREN = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1)
ORDER BY c.relname
"""

_BOUND = re.compile(r"FROM \((MINVALUE|'?-?\d+'?)\) TO \((MAXVALUE|'?-?\d+'?)\)")
_LOWEST = -(1 << 63)
_HIGHEST = (1 << 63) - 1


@dataclass(frozen=True)
class Bounds:
    """One partition: its name, the first id in it and the first beyond it."""

    name: str
    first: int
    beyond: int

    def overlaps(self, other: "Bounds") -> bool:
        return self.first < other.beyond and other.first < self.beyond


class _Pools(Protocol):
    def all(self) -> Iterable[Pool]: ...


@dataclass(frozen=True)
class RangePartitions:
    """How one table is cut."""

    table: str
    width: timedelta = timedelta(days=7)
    """Time covered by one partition."""

    ahead: int = 4
    """How many partitions exist beyond the current one."""

    keep: timedelta | None = None
    """How long a partition outlives its end; None keeps it for good."""

    key: str = "id"
    """The column of the ids. Only told; the parent table itself decides."""

    def wanted(self, now: datetime) -> Iterator[Bounds]:
        """The partitions that should exist: that of now, and those ahead."""
        step = self.width // timedelta(milliseconds=1)
        current = ids.floor_of(now) // (step << 22)
        for index in range(current, current + self.ahead + 1):
            first = (index * step) << 22
            start = ids.time_of(first)
            # Of partitions shorter than a day, several start on one.
            hour = f"h{start:%H}" if self.width < timedelta(days=1) else ""
            name = f"{self.table}_y{start:%Ym%md%d}{hour}"
            yield Bounds(name, first, ((index + 1) * step) << 22)

    async def ensure(self, pool: Pool, now: datetime) -> list[str]:
        """Makes what is missing; answers the names of what it made.

        The first call also makes `<table>_old` for all ids before now, so that
        nothing older is homeless. Safe to repeat and to run twice at once.
        """
        made = []
        async with pool.transaction() as tx:
            await tx.execute(_LOCK)
            present = await self.present(tx)
            wanted = list(self.wanted(now))
            if not present:
                wanted.insert(0, Bounds(f"{self.table}_old", _LOWEST, wanted[0].first))
            for bounds in wanted:
                if not any(bounds.overlaps(other) for other in present):
                    await self._make(tx, bounds)
                    made.append(bounds.name)
        return made

    async def present(self, statements: Statements) -> list[Bounds]:
        """The partitions there are."""
        rows = await statements.fetch(CHILDREN, self.table)
        return [_parsed(row["relname"], row["bound"]) for row in rows]

    async def drop_old(self, pool: Pool, now: datetime) -> list[str]:
        """Drops partitions that ended longer than `keep` ago; answers their names."""
        if self.keep is None:
            return []
        horizon = ids.floor_of(now - self.keep)
        old = [b for b in await self.present(pool) if b.beyond <= horizon]
        for bounds in old:
            await pool.execute(f"DROP TABLE {bounds.name}")
        return [bounds.name for bounds in old]

    async def keep_ahead(self, pool: Pool, clock: Clock) -> None:
        """Background loop of the worker role. Ends only when cancelled."""
        while True:
            wait = _CHECK_SECONDS
            try:
                await self.ensure(pool, clock.now())
                await self.drop_old(pool, clock.now())
            except MeshError as error:
                log.error("partitions_not_kept", table=self.table, error=str(error))
                wait = _RETRY_SECONDS
            await asyncio.sleep(wait)

    async def _make(self, tx: Statements, bounds: Bounds) -> None:
        # Attaching locks less than CREATE TABLE … PARTITION OF: reads and writes
        # of the parent go on.
        first = "MINVALUE" if bounds.first == _LOWEST else str(bounds.first)
        await tx.execute(
            f"CREATE TABLE {bounds.name} (LIKE {self.table} INCLUDING ALL)"
        )
        await tx.execute(
            f"ALTER TABLE {self.table} ATTACH PARTITION {bounds.name} "
            f"FOR VALUES FROM ({first}) TO ({bounds.beyond})"
        )


async def declared(pool: Pool) -> list[RangePartitions]:
    """The tables of the database whose comment says how they are cut."""
    rows = await pool.fetch(PARENTS)
    return [
        _from_comment(row["relname"], row["comment"])
        for row in rows
        if (row["comment"] or "").startswith(_PREFIX)
    ]


async def ensure_all(pool: Pool, now: datetime) -> None:
    """Makes the missing partitions of every declared table."""
    for partitions in await declared(pool):
        await partitions.ensure(pool, now)


async def keep_all_ahead(pools: Iterable[Pool], clock: Clock) -> None:
    """Background loop of the worker role for every declared table of the pools."""
    async with asyncio.TaskGroup() as group:
        for pool in pools:
            for partitions in await declared(pool):
                group.create_task(partitions.keep_ahead(pool, clock))


def _from_comment(table: str, comment: str) -> RangePartitions:
    words = dict(
        item.strip().split(" ", 1)
        for item in comment.removeprefix(_PREFIX).strip().split(",")
    )
    keep = words.get("keep")
    return RangePartitions(
        table=table,
        width=_duration(words["width"]),
        ahead=int(words["ahead"]),
        keep=_duration(keep) if keep else None,
    )


def _duration(text: str) -> timedelta:
    number, unit = text.split()
    return timedelta(**{unit if unit.endswith("s") else f"{unit}s": int(number)})


def _parsed(name: str, bound: str) -> Bounds:
    match = _BOUND.search(bound)
    if match is None:
        # A default partition, or one that is not of ids: it takes everything.
        return Bounds(name, _LOWEST, _HIGHEST)
    low, high = (text.strip("'") for text in match.groups())
    return Bounds(
        name,
        _LOWEST if low == "MINVALUE" else int(low),
        _HIGHEST if high == "MAXVALUE" else int(high),
    )
