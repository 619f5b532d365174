"""Postgres: a pool with timeouts, transactions, driver errors as MeshErrors.

A connection whose statement was cancelled or timed out is closed, never lent
again: its next reply might belong to the call that went away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import asyncpg
from prometheus_client import CollectorRegistry

from chassis import deadline
from chassis.clock import Clock, SystemClock
from chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from chassis.meters import PoolMeters, pool_meters, replica_meters
from chassis.metrics import BreakerMetrics
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
from chassis.postgres_gate import Gate
from chassis.postgres_loans import Loans
from chassis.postgres_replica import Replica
from chassis.postgres_statements import (
    BEGIN,
    Call,
    Isolation,
    Reads,
    Running,
    Statements,
    Transaction,
)
from chassis.tasks import beside

__all__ = [
    "Isolation",
    "Pool",
    "PostgresSettings",
    "Reads",
    "Statements",
    "Transaction",
    "UniqueViolation",
    "open_pool",
]

T = TypeVar("T")


class Pool(Running):
    """Runs statements, each on a connection of its own. Opened by open_pool()."""

    def __init__(
        self,
        *,
        settings: PostgresSettings,
        pool: "asyncpg.Pool[asyncpg.Record]",
        gate: Gate,
        loans: Loans,
        clock: Clock,
        meters: PoolMeters,
        label: str,
    ) -> None:
        self.replica: Reads = self
        """For reads that may be a little old; this pool when there is no replica."""

        self._settings = settings
        self._pool = pool
        self._gate = gate
        self._loans = loans
        self._clock = clock
        self._permits = asyncio.Semaphore(settings.max_size)
        self._waiters = 0
        self._wait = meters.wait.labels(label)
        self._failed = meters.failed
        self._label = label
        meters.size.labels(label).set_function(pool.get_size)
        meters.in_use.labels(label).set_function(lambda: len(loans))
        meters.oldest.labels(label).set_function(loans.oldest)
        meters.waiters.labels(label).set_function(lambda: self._waiters)

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
            await tx.execute(BEGIN[isolation])
            yield tx
        except BaseException:
            await asyncio.shield(self._end(tx.roll_back(), con))
            raise
        await asyncio.shield(self._end(tx.commit(), con))

    async def _run(self, call: Call[T]) -> T:
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
        try:
            is_trying = self._gate.enter()
        except Unavailable:
            self._failed.labels(self._label, "open").inc()
            raise
        try:
            await self._permit()
            con = await self._connection()
        except asyncio.CancelledError:
            # A deadline that is over comes as this, too: then it was in vain.
            if deadline.remaining() == 0:
                self._in_vain("deadline")
            elif is_trying:
                self._gate.gave_up()
            raise
        except DeadlineExceeded:
            # The caller came with no time at all, which says nothing of the pool.
            if is_trying:
                self._gate.gave_up()
            raise
        except ResourceExhausted:
            self._in_vain("full")
            raise
        except Exception:
            self._in_vain("away")
            raise
        self._gate.had()
        self._loans.lent(con)
        return con

    def _in_vain(self, why: str) -> None:
        self._gate.failed()
        self._failed.labels(self._label, why).inc()

    async def _connection(self) -> Connection:
        try:
            limit = deadline.bound(self._settings.connect_timeout)
            return await self._pool.acquire(timeout=limit)
        except BaseException as error:
            self._permits.release()
            if isinstance(error, TimeoutError):
                raise unavailable() from error
            if isinstance(error, Exception):
                raise translate(error) or error from error
            raise

    async def _permit(self) -> None:
        if not self._permits.locked():
            await self._permits.acquire()
            self._wait.observe(0)
            return
        limit = deadline.bound(self._settings.acquire_timeout)
        began = self._clock.monotonic()
        self._waiters += 1
        try:
            async with asyncio.timeout(limit):
                await self._permits.acquire()
        except TimeoutError:
            raise ResourceExhausted(
                "OVERLOADED", "no database connection is free", retry_after=1
            ) from None
        finally:
            # Those who waited in vain are part of the picture.
            self._waiters -= 1
            self._wait.observe(self._clock.monotonic() - began)

    async def _release(self, con: Connection) -> None:
        # asyncpg shields the release itself.
        try:
            if con._con is not None:
                self._gate.had()
                if is_expired(con):
                    drop(con)
            await self._pool.release(con)
        finally:
            self._loans.returned(con)
            self._permits.release()


@asynccontextmanager
async def open_pool(
    settings: PostgresSettings, *, metrics: CollectorRegistry | None = None
) -> AsyncIterator[Pool]:
    """Opens the pool, and that of the replica; waits while the server starts.

    Without a registry the metrics go into that of the App being assembled.
    """
    async with AsyncExitStack() as stack:
        primary = await _open(stack, settings, label_of(settings.url), metrics)
        if settings.replica_url is not None:
            label = f"{label_of(settings.replica_url)} (replica)"
            # No connection at the start: a replica may be away, we start all the same.
            trailing = replace(settings, url=settings.replica_url, min_size=0)
            replica = Replica(
                primary=primary,
                standby=await _open(stack, trailing, label, metrics),
                settings=settings,
                clock=SystemClock(),
                meters=replica_meters(metrics),
                label=label,
            )
            await stack.enter_async_context(beside(replica.watch()))
            primary.replica = replica
        yield primary


async def _open(
    stack: AsyncExitStack,
    settings: PostgresSettings,
    label: str,
    metrics: CollectorRegistry | None,
) -> Pool:
    clock: Clock = SystemClock()
    meters = pool_meters(metrics)
    driver = await stack.enter_async_context(open_driver_pool(settings.url, settings))
    loans = Loans(
        pool=label, after=settings.leak_seconds, clock=clock, leaked=meters.leaked
    )
    await stack.enter_async_context(beside(loans.watch()))
    return Pool(
        settings=settings,
        pool=driver,
        gate=Gate(
            name=f"postgres {label}",
            after=settings.exhausted_seconds,
            retry=settings.exhausted_retry_seconds,
            clock=clock,
            on_change=BreakerMetrics(metrics).changed,
        ),
        loans=loans,
        clock=clock,
        meters=meters,
        label=label,
    )
