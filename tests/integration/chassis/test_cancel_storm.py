"""Cancelled calls never poison a pooled connection: every value carries its owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from chassis import deadline
from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.testing import FaultProxy, database, eventually, fault_proxy

from tests.support.storm import Storm

CALLS = 5_000
SEED = 18
# Of the proxy, in each direction: cancellations meet statements on their way.
LATENCY = 0.002

TABLE = "CREATE TABLE kept (owner text NOT NULL, number int NOT NULL)"
BACKENDS = """
SELECT count(*), count(*) FILTER (WHERE state <> 'idle')
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass
class Asked:
    """Callers of one pool. Each asks for what is theirs, and looks at the answer."""

    pool: Pool
    random: Random
    kept: dict[str, int] = field(default_factory=dict)
    """How many rows of an owner must be there: those whose writing was confirmed."""
    given_up: set[int] = field(default_factory=set)
    """Server processes whose answer somebody did not wait for."""

    async def plain(self, owner: str) -> None:
        row = await self.pool.fetchrow("SELECT $1::text, pg_backend_pid()", owner)
        assert row is not None
        assert row[0] == owner
        assert row[1] not in self.given_up

    async def long(self, owner: str) -> None:
        """The server is still at it when the caller goes."""
        pause = self.random.uniform(0, 0.01)
        row = await self.pool.fetchrow("SELECT $1::text, pg_sleep($2)", owner, pause)
        assert row is not None
        assert row[0] == owner

    async def many(self, owner: str) -> None:
        rows = await self.pool.fetch(
            "SELECT $1::text FROM generate_series(1, 500)", owner
        )
        assert {row[0] for row in rows} == {owner}
        assert len(rows) == 500

    async def limited(self, owner: str) -> None:
        async with deadline.limit(self.random.uniform(0.0001, 0.01)):
            await self.plain(owner)
            await self.long(owner)

    async def alone(self, owner: str) -> None:
        """Outside of any transaction: what is confirmed is kept."""
        await self.pool.execute("INSERT INTO kept VALUES ($1, 1)", owner)
        self.kept[owner] = 1

    async def together(self, owner: str) -> None:
        async with self.pool.transaction() as tx:
            server = await tx.fetchval("SELECT pg_backend_pid()")
            assert server not in self.given_up
            try:
                await tx.execute("INSERT INTO kept VALUES ($1, 1)", owner)
                assert await tx.fetchval("SELECT $1::text", owner) == owner
                await tx.execute("INSERT INTO kept VALUES ($1, 2)", owner)
            except asyncio.CancelledError:
                self.given_up.add(server)
                raise
        self.kept[owner] = 2

    async def refused(self, owner: str) -> None:
        """A transaction that its caller gives up."""
        with suppress(ZeroDivisionError):
            async with self.pool.transaction() as tx:
                await tx.execute("INSERT INTO kept VALUES ($1, 3)", owner)
                raise ZeroDivisionError

    async def copied(self, owner: str) -> None:
        rows = [(owner, number) for number in (1, 2)]
        await self.pool.copy("kept", rows, ["owner", "number"])
        self.kept[owner] = 2

    async def hurried(self, owner: str) -> None:
        async with deadline.limit(self.random.uniform(0.001, 0.02)):
            await self.together(owner)
        self.kept[owner] = 2


@asynccontextmanager
async def behind_proxy(
    settings: PostgresSettings,
) -> AsyncIterator[tuple[PostgresSettings, FaultProxy]]:
    parts = urlsplit(settings.url)
    assert parts.hostname
    assert parts.port
    async with fault_proxy(parts.hostname, parts.port) as proxy:
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"
        yield replace(settings, url=parts._replace(netloc=netloc).geturl()), proxy


@pytest.mark.parametrize("latency", [0.0, LATENCY], ids=["near", "far"])
async def test_no_answer_of_postgres_reaches_another_caller(latency: float) -> None:
    """And no connection, permit or transaction is left behind."""
    registry = CollectorRegistry()
    complaints = complaints_of_the_driver()
    async with database("chassis") as direct, behind_proxy(direct) as (through, proxy):
        proxy.delay(latency)
        settings = replace(through if latency else direct, max_size=8, min_size=8)
        async with open_pool(settings, metrics=registry) as pool:
            await pool.execute(TABLE)
            asked = Asked(pool, Random(SEED))
            storm = Storm(seed=SEED, in_flight=16, longest=0.02 + 40 * latency)
            await storm.rage(
                [
                    asked.plain,
                    asked.long,
                    asked.many,
                    asked.limited,
                    asked.alone,
                    asked.together,
                    asked.hurried,
                    asked.refused,
                    asked.copied,
                ],
                CALLS,
            )

            assert storm.is_both(), storm.outcomes
            assert asked.given_up
            assert not complaints
            await eventually(lambda: is_calm(direct, registry, settings))
            await all_at_once(pool, settings.max_size)
            await are_kept(pool, asked.kept)


def complaints_of_the_driver() -> list[str]:
    """What asyncpg says when it gets a connection back in the middle of something.

    It cleans up itself; but not everything that it might find.
    """
    found: list[str] = []

    def listen(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "active transaction" in context["message"]:
            found.append(context["message"])

    asyncio.get_running_loop().set_exception_handler(listen)
    return found


async def is_calm(
    direct: PostgresSettings, registry: CollectorRegistry, settings: PostgresSettings
) -> None:
    """Nothing is lent or waited for, and the server has no more than the pool."""
    for name in ("postgres_connections_in_use", "postgres_waiters"):
        parts = urlsplit(settings.url)
        label = {"pool": f"{parts.hostname}{parts.path}"}
        assert registry.get_sample_value(name, label) == 0
    connection = await asyncpg.connect(direct.url)
    try:
        [(backends, busy)] = await connection.fetch(BACKENDS)
    finally:
        await connection.close()
    assert backends <= settings.max_size
    assert busy == 0


async def all_at_once(pool: Pool, size: int) -> None:
    """Every permit and connection is there: transactions of all meet."""
    meeting = asyncio.Barrier(size)

    async def come() -> None:
        async with pool.transaction() as tx:
            await tx.execute("SELECT 1")
            async with asyncio.timeout(5):
                await meeting.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(size):
            group.create_task(come())


async def are_kept(pool: Pool, kept: dict[str, int]) -> None:
    """What was confirmed is there, and nothing is there by halves."""
    rows = await pool.fetch(
        "SELECT owner, array_agg(number ORDER BY number) FROM kept GROUP BY owner"
    )
    found: dict[str, list[int]] = {row[0]: row[1] for row in rows}
    for owner, number in kept.items():
        assert len(found[owner]) == number
    whole = ([1], [1, 2])
    assert all(numbers in whole for numbers in found.values())
