"""The Postgres pool against the real engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import pytest
from prometheus_client import CollectorRegistry

from chassis import deadline
from chassis.errors import (
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
)
from chassis.postgres import Pool, PostgresSettings, UniqueViolation, open_pool
from chassis.testing import database, eventually, fault_proxy, refuses

PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@asynccontextmanager
async def opened(**changes: object) -> AsyncIterator[Pool]:
    async with database("chassis") as settings:
        changed = replace(settings, **changes)  # type: ignore[arg-type]  # by name
        async with open_pool(changed) as pool:
            await pool.execute("CREATE TABLE t (k int PRIMARY KEY)")
            yield pool


async def test_statements_answer_rows_values_and_tags() -> None:
    """The four ways to run a statement, and COPY."""
    async with opened() as pool:
        await pool.copy("t", [(1,), (2,)], ["k"])

        assert [row["k"] for row in await pool.fetch("SELECT k FROM t ORDER BY k")] == [
            1,
            2,
        ]
        assert await pool.fetchrow("SELECT k FROM t WHERE k = 9") is None
        assert await pool.fetchval("SELECT max(k) FROM t") == 2
        assert await pool.execute("INSERT INTO t VALUES (3)") == "INSERT 0 1"


async def test_a_transaction_commits_or_rolls_back_whole() -> None:
    """What raised leaves nothing behind."""
    async with opened() as pool:
        async with pool.transaction() as tx:
            await tx.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(UniqueViolation):
            async with pool.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (2), (1)")

        assert await pool.fetchval("SELECT array_agg(k) FROM t") == [1]


async def test_a_duplicate_names_its_constraint() -> None:
    """The caller decides what a duplicate means."""
    async with opened() as pool:
        await pool.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(UniqueViolation) as caught:
            await pool.execute("INSERT INTO t VALUES (1)")

    assert caught.value.constraint == "t_pkey"


async def test_a_spoilt_transaction_does_not_pass_for_committed() -> None:
    """Postgres answers ROLLBACK to such a COMMIT, without an error."""
    async with opened() as pool:
        with refuses(Internal, "INTERNAL"):
            async with pool.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (1)")
                with pytest.raises(UniqueViolation):
                    await tx.execute("INSERT INTO t VALUES (1)")


async def test_the_callers_deadline_ends_a_statement() -> None:
    """The driver's timeout is what remains of the call."""
    async with opened() as pool:
        with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
            async with deadline.limit(0.05):
                await pool.execute("SELECT pg_sleep(5)")


async def test_the_server_gives_up_a_long_statement() -> None:
    """statement_timeout holds even where the client's does not."""
    async with opened(statement_timeout_ms=50) as pool:
        with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
            await pool.execute("SELECT pg_sleep(5)")


async def test_a_row_that_stays_locked_sheds_the_call() -> None:
    """lock_timeout ends the wait; the caller may try again."""
    async with opened(lock_timeout_ms=50) as pool:
        await pool.execute("INSERT INTO t VALUES (1)")
        async with pool.transaction() as tx:
            await tx.execute("UPDATE t SET k = 1")
            with refuses(Unavailable, "OVERLOADED"):
                await pool.execute("UPDATE t SET k = 1")


async def test_a_full_pool_sheds_early_and_says_when_to_come_back() -> None:
    """Waiting for a connection is bounded by acquire_timeout."""
    async with (
        opened(max_size=1, acquire_timeout=0.02) as pool,
        pool.transaction() as tx,
    ):
        await tx.execute("SELECT 1")
        with pytest.raises(ResourceExhausted) as caught:
            await pool.ping()

    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_after


async def _is_running(pool: Pool, query: str) -> bool:
    count = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1"
    )
    return bool(await pool.fetchval(count, query))


async def test_a_cancelled_statement_never_answers_the_next_call() -> None:
    """A connection cancelled in the middle is closed, not lent again."""
    async with opened(max_size=2) as pool:
        for number in range(20):
            query = f"SELECT pg_sleep(0.5), 'old {number}'"
            slow = asyncio.ensure_future(pool.fetchval(query))  # noqa: TID251 - to be cancelled
            await eventually(partial(_is_running, pool, query))
            slow.cancel()
            answers = await asyncio.gather(
                pool.fetchval("SELECT 'a'"), pool.fetchval("SELECT 'b'")
            )
            assert tuple(answers) == ("a", "b")
            with pytest.raises(asyncio.CancelledError):
                await slow

        await eventually(lambda: _few_backends(pool))


async def _few_backends(pool: Pool) -> None:
    assert await pool.fetchval(BACKENDS) <= 2


# Makes commits last for a while.
SLOW_COMMIT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.2);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()
"""


async def test_a_commit_under_way_is_finished_though_its_caller_is_gone() -> None:
    """Cancelling during the commit leaves no half-known outcome behind."""
    async with opened() as pool:
        await pool.execute(SLOW_COMMIT)

        async def insert() -> None:
            async with pool.transaction() as tx:
                await tx.execute("INSERT INTO t VALUES (7)")

        task = asyncio.ensure_future(insert())  # noqa: TID251 - to be cancelled
        await eventually(partial(_is_running, pool, "COMMIT"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await eventually(lambda: _is_there(pool))


async def _is_there(pool: Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) FROM t") == 1)


async def test_a_server_that_is_away_makes_calls_unavailable() -> None:
    """A cut connection is a dependency that is missing, and passes."""
    async with database("chassis") as settings:
        parts = urlsplit(settings.url)
        assert parts.hostname is not None
        assert parts.port is not None
        async with fault_proxy(parts.hostname, parts.port) as proxy:
            credentials = parts.netloc.rpartition("@")[0]
            netloc = f"{credentials}@127.0.0.1:{proxy.port}"
            url = urlunsplit(parts._replace(netloc=netloc))
            through = replace(settings, url=url, connect_timeout=0.2)
            async with open_pool(through) as pool:
                await pool.ping()
                proxy.refuse()
                proxy.reset()
                with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                    await pool.ping()
                proxy.heal()

                await eventually(pool.ping)


async def test_an_old_connection_is_replaced() -> None:
    """No connection outlives its lifetime."""
    async with opened(max_size=1, min_size=1, lifetime=0.001) as pool:
        first = await pool.fetchval("SELECT pg_backend_pid()")

        async def replaced() -> None:
            assert await pool.fetchval("SELECT pg_backend_pid()") != first

        await eventually(replaced)


async def test_nothing_is_prepared_behind_a_pooler() -> None:
    """A statement cache of 0 says that a pooler in transaction mode is between."""
    async with opened(statement_cache_size=0) as pool:
        await pool.fetchval("SELECT $1::int", 1)

        assert (
            await pool.fetchval(
                "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
            )
            == 0
        )
        assert await pool.fetchval("SHOW statement_timeout") == "0"


async def test_the_pool_is_measured() -> None:
    """Connections, waiters and waits are seen by host and database."""
    registry = CollectorRegistry()
    async with (
        database("chassis") as settings,
        open_pool(settings, metrics=registry) as pool,
    ):
        async with pool.transaction() as tx:
            await tx.execute("SELECT 1")
            label = {"pool": _label(settings)}

            assert registry.get_sample_value("postgres_connections_in_use", label) == 1
        assert registry.get_sample_value("postgres_connections_in_use", label) == 0
        count = registry.get_sample_value("postgres_acquire_seconds_count", label)
        assert count


def _label(settings: PostgresSettings) -> str:
    parts = urlsplit(settings.url)
    return f"{parts.hostname}{parts.path}"
