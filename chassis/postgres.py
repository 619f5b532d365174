"""Postgres: a pool with timeouts, transactions, driver errors as MeshErrors.

A connection whose statement was cancelled or timed out is closed, never lent
again: its next reply might belong to the call that went away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import asyncpg
from prometheus_client import CollectorRegistry

from chassis import deadline
from chassis.clock import SystemClock
from chassis.errors import Internal, ResourceExhausted
from chassis.meters import PoolMeters, pool_meters
from chassis.postgres_driver import (
    Connection,
    PostgresSettings,
    UniqueViolation,
    drop,
    guarded,
    is_expired,
    label_of,
    open_driver_pool,
    translate,
    unavailable,
)

__all__ = [
    "Isolation",
    "Pool",
    "PostgresSettings",
    "Statements",
    "Transaction",
    "UniqueViolation",
    "open_pool",
]

T = TypeVar("T")
_Call: TypeAlias = Callable[[Connection, float], Awaitable[T]]

Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]

_BEGIN = {
    "read_committed": "BEGIN",
    "repeatable_read": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "serializable": "BEGIN ISOLATION LEVEL SERIALIZABLE",
}


class Statements(Protocol):
    """What runs a statement: a pool, or a transaction of it."""

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]: ...
    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None: ...
    async def fetchval(self, sql: str, *args: object) -> Any: ...
    async def execute(self, sql: str, *args: object) -> str: ...


class _Statements:
    """The statements themselves; _run says on which connection."""

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """All rows of one statement."""
        return await self._run(lambda con, limit: con.fetch(sql, *args, timeout=limit))

    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None:
        """The first row; None when there is none."""
        return await self._run(
            lambda con, limit: con.fetchrow(sql, *args, timeout=limit)
        )

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row; what it holds, the statement says."""
        return await self._run(
            lambda con, limit: con.fetchval(sql, *args, timeout=limit)
        )

    async def execute(self, sql: str, *args: object) -> str:
        """The server's command tag: "INSERT 0 3"."""
        return await self._run(
            lambda con, limit: con.execute(sql, *args, timeout=limit)
        )

    async def copy(
        self,
        table: str,
        records: Iterable[Sequence[object]],
        columns: Sequence[str],
    ) -> None:
        """Adds rows by COPY: all of them or none."""
        await self._run(
            lambda con, limit: con.copy_records_to_table(
                table, records=records, columns=columns, timeout=limit
            )
        )

    async def _run(self, call: _Call[T]) -> T:
        raise NotImplementedError


class Transaction(_Statements):
    """Runs statements in one transaction, one after the other."""

    def __init__(self, *, con: Connection, settings: PostgresSettings) -> None:
        self._con = con
        self._limit = settings.command_timeout

    async def _run(self, call: _Call[T]) -> T:
        return await guarded(self._con, call, self._limit)

    async def _commit(self) -> None:
        # Not bounded by the caller's deadline: half a commit is no answer.
        try:
            tag = await self._con.execute("COMMIT", timeout=self._limit)
        except Exception as error:
            drop(self._con)
            raise translate(error) or error from error
        if tag != "COMMIT":
            # The server rolls back what an error spoilt, and calls that success.
            raise Internal("INTERNAL", "the transaction had failed before its commit")

    async def _roll_back(self) -> None:
        try:
            await self._con.execute("ROLLBACK", timeout=self._limit)
        except Exception:  # noqa: BLE001 - closing the connection rolls back as well
            drop(self._con)


class Pool(_Statements):
    """Runs statements, each on a connection of its own. Opened by open_pool()."""

    def __init__(
        self,
        *,
        settings: PostgresSettings,
        pool: "asyncpg.Pool[asyncpg.Record]",
        replica: "Pool | None",
        meters: PoolMeters,
        label: str,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._replica = replica
        self._permits = asyncio.Semaphore(settings.max_size)
        self._in_use = 0
        self._waiters = 0
        self._wait = meters.wait.labels(label)
        meters.size.labels(label).set_function(pool.get_size)
        meters.in_use.labels(label).set_function(lambda: self._in_use)
        meters.waiters.labels(label).set_function(lambda: self._waiters)

    @property
    def replica(self) -> "Pool":
        """For reads that may be a little old; this pool when there is no replica."""
        return self._replica or self

    async def ping(self) -> None:
        """Raises unless the server answers."""
        await self.fetchval("SELECT 1")

    @asynccontextmanager
    async def transaction(
        self, isolation: Isolation = "read_committed"
    ) -> AsyncIterator[Transaction]:
        """Commits when the block ends, rolls back when it raises.

        The commit is finished even when the caller is cancelled meanwhile. A
        commit whose answer is lost raises Unavailable or DeadlineExceeded: its
        outcome is unknown, and a request record resolves it.
        """
        con = await self._acquire()
        tx = Transaction(con=con, settings=self._settings)
        try:
            await tx.execute(_BEGIN[isolation])
            yield tx
        except BaseException:
            await asyncio.shield(self._end(tx._roll_back(), con))
            raise
        await asyncio.shield(self._end(tx._commit(), con))

    async def _run(self, call: _Call[T]) -> T:
        con = await self._acquire()
        try:
            return await guarded(con, call, self._settings.command_timeout)
        finally:
            await self._release(con)

    async def _end(self, last: Awaitable[None], con: Connection) -> None:
        try:
            await last
        finally:
            await self._release(con)

    async def _acquire(self) -> Connection:
        await self._permit()
        try:
            limit = deadline.bound(self._settings.connect_timeout)
            con = await self._pool.acquire(timeout=limit)
        except BaseException as error:
            self._permits.release()
            if isinstance(error, TimeoutError):
                raise unavailable() from error
            if isinstance(error, Exception):
                raise translate(error) or error from error
            raise
        self._in_use += 1
        return con

    async def _permit(self) -> None:
        if not self._permits.locked():
            await self._permits.acquire()
            self._wait.observe(0)
            return
        limit = deadline.bound(self._settings.acquire_timeout)
        began = SystemClock().monotonic()
        self._waiters += 1
        try:
            async with asyncio.timeout(limit):
                await self._permits.acquire()
        except TimeoutError:
            raise ResourceExhausted(
                "OVERLOADED", "no database connection is free", retry_after=1
            ) from None
        finally:
            self._waiters -= 1
            self._wait.observe(SystemClock().monotonic() - began)

    async def _release(self, con: Connection) -> None:
        # asyncpg shields the release itself.
        try:
            if con._con is not None and is_expired(con):
                drop(con)
            await self._pool.release(con)
        finally:
            self._in_use -= 1
            self._permits.release()


@asynccontextmanager
async def open_pool(
    settings: PostgresSettings, *, metrics: CollectorRegistry | None = None
) -> AsyncIterator[Pool]:
    """Opens the pool, and that of the replica; waits while the server starts.

    Without a registry the metrics go into that of the App being assembled.
    """
    meters = pool_meters(metrics)
    async with AsyncExitStack() as stack:
        replica = None
        if settings.replica_url is not None:
            driver = open_driver_pool(settings.replica_url, settings)
            replica = Pool(
                settings=settings,
                pool=await stack.enter_async_context(driver),
                replica=None,
                meters=meters,
                label=f"{label_of(settings.replica_url)} (replica)",
            )
        driver = open_driver_pool(settings.url, settings)
        yield Pool(
            settings=settings,
            pool=await stack.enter_async_context(driver),
            replica=replica,
            meters=meters,
            label=label_of(settings.url),
        )
