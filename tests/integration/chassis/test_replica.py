"""Reads that may trail, on a real standby."""

from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from chassis import deadline
from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.testing import database, eventually, fault_proxy

from tests.support.replica import Pair, postgres_pair

DATABASE = "reads"
LAG = 1.0
CHECK = 0.1
# Which server answers.
IS_STANDBY = "SELECT pg_is_in_recovery()"


@dataclass(frozen=True)
class Bench:
    """A pool with a replica; to it, whatever is written last is the newest."""

    pair: Pair
    pool: Pool
    registry: CollectorRegistry

    async def asks_standby(self) -> bool:
        return bool(await self.pool.replica.fetchval(IS_STANDBY))

    async def asks_primary(self) -> bool:
        return not await self.asks_standby()

    async def write(self) -> int:
        """A row more; how many there are."""
        return int(
            await self.pool.fetchval(
                "INSERT INTO t (k) SELECT coalesce(max(k), 0) + 1 FROM t RETURNING k"
            )
        )

    async def seen(self) -> int:
        return int(await self.pool.replica.fetchval("SELECT count(*) FROM t"))

    def is_used(self) -> float | None:
        parts = urlsplit(self.pair.standby_url)
        label = f"{parts.hostname}/{DATABASE} (replica)"
        return self.registry.get_sample_value("postgres_replica_used", {"pool": label})


@asynccontextmanager
async def opened(pair: Pair, **changes: object) -> AsyncIterator[Bench]:
    registry = CollectorRegistry()
    settings = PostgresSettings(
        url=pair.at_primary(DATABASE),
        replica_url=pair.at_standby(DATABASE),
        min_size=1,
        replica_lag_seconds=LAG,
        replica_check_seconds=CHECK,
    )
    changed = replace(settings, **changes)  # type: ignore[arg-type]  # by name
    async with open_pool(changed, metrics=registry) as pool:
        yield Bench(pair, pool, registry)


async def make_database(pair: Pair) -> None:
    server = await asyncpg.connect(pair.primary_url)
    await server.execute(f'CREATE DATABASE "{DATABASE}"')
    await server.close()
    made = await asyncpg.connect(pair.at_primary(DATABASE))
    await made.execute("CREATE TABLE t (k int PRIMARY KEY)")
    await made.close()
    await eventually(lambda: has_followed(pair))


async def has_followed(pair: Pair) -> bool:
    standby = await asyncpg.connect(pair.standby_url)
    try:
        names = await standby.fetch("SELECT datname FROM pg_database")
    finally:
        await standby.close()
    return DATABASE in [row[0] for row in names]


async def test_reads_that_may_trail_follow_the_standby(tmp_path: Path) -> None:
    """One that keeps up is read; one that trails, is gone or comes back is noticed,
    and at no time does a read fail for it."""
    async with postgres_pair(tmp_path) as pair:
        await make_database(pair)
        async with opened(pair) as bench:
            # Nobody has looked yet, or has just now; soon it is read.
            await eventually(bench.asks_standby)
            assert bench.is_used() == 1
            assert not await bench.pool.fetchval(IS_STANDBY)

            # Nothing is written for longer than it may trail: it lacks nothing.
            until = perf_counter() + 1.5 * LAG
            await eventually(lambda: perf_counter() > until)
            assert await bench.asks_standby()

            await pair.pause_replay()
            written = await bench.write()
            began = perf_counter()
            await eventually(bench.asks_primary)
            assert perf_counter() - began < LAG + 1
            assert await bench.seen() == written
            assert bench.is_used() == 0

            await pair.resume_replay()
            await eventually(bench.asks_standby)
            assert await bench.seen() == written

            await pair.stop_standby()
            for _ in range(50):
                assert await bench.asks_primary()
            assert await bench.seen() == await bench.write() - 1
            assert bench.is_used() == 0

            await pair.start_standby()
            await eventually(bench.asks_standby)


async def test_a_frozen_standby_costs_one_read_half_its_time(tmp_path: Path) -> None:
    """The primary answers that read, and the next ones do not wait at all."""
    async with postgres_pair(tmp_path) as pair:
        await make_database(pair)
        parts = urlsplit(pair.standby_url)
        assert parts.port
        async with fault_proxy("127.0.0.1", parts.port) as proxy:
            netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"
            through = replace(pair, standby_url=parts._replace(netloc=netloc).geturl())
            # One look only: what comes then, reads have to find out.
            async with opened(through, replica_check_seconds=60) as bench:
                await eventually(bench.asks_standby)
                proxy.freeze()
                began = perf_counter()
                async with deadline.limit(0.4):
                    assert await bench.asks_primary()
                assert 0.2 <= perf_counter() - began < 0.4
                began = perf_counter()
                for _ in range(20):
                    assert await bench.asks_primary()
                assert perf_counter() - began < 0.2
                proxy.heal()


@pytest.mark.parametrize(
    ("port", "why"),
    [(1, "does not answer"), (None, "no standby")],
    ids=["absent", "no standby"],
)
async def test_what_is_no_standby_is_not_read(port: int | None, why: str) -> None:
    """It stops nobody from starting, and reads go to the primary."""
    async with database("chassis") as settings:
        parts = urlsplit(settings.url)
        user = parts.netloc.rpartition("@")[0]
        at = parts._replace(netloc=f"{user}@{parts.hostname}:{port or parts.port}")
        changed = replace(settings, replica_url=at.geturl(), replica_check_seconds=0.02)
        with capture_logs() as logs:
            async with open_pool(changed) as pool:
                await eventually(lambda: any(why in line for line in whys(logs)))
                row = await pool.replica.fetchrow("SELECT 1")
                assert [row] == await pool.replica.fetch("SELECT 1")
        # Told once, however often it is looked at.
        assert len(whys(logs)) == 1


def whys(logs: Sequence[MutableMapping[str, Any]]) -> list[str]:
    return [line["why"] for line in logs if line["event"] == "replica_not_used"]


async def test_without_a_second_address_there_is_no_replica() -> None:
    """Reads that may trail are reads like any other."""
    async with database("chassis") as settings, open_pool(settings) as pool:
        assert pool.replica is pool
