"""Reads that may trail: on a standby for as long as it keeps up."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import structlog

from chassis import deadline
from chassis.clock import Clock
from chassis.errors import (
    DeadlineExceeded,
    MeshError,
    ResourceExhausted,
    Unavailable,
)
from chassis.meters import ReplicaMeters
from chassis.postgres_driver import PostgresSettings
from chassis.postgres_statements import Reads

T = TypeVar("T")

log = structlog.get_logger(__name__)

WRITTEN = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"
# Null on a server that never was a standby; stands still on one that was promoted.
REPLAYED = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint"

# Of a look: also a server without our database or role is no reason to end looking.
FAILURES = (MeshError, asyncpg.PostgresError, asyncpg.InterfaceError)

# Looks of which the standby has not replayed what was written; an hour of them.
_MOST_SAMPLES = 3_600


class Replica:
    """Runs reads on the standby, or on the primary when the standby is away or
    trails too far. Which one, a look in the background decides, not the read."""

    def __init__(
        self,
        *,
        primary: Reads,
        standby: Reads,
        settings: PostgresSettings,
        clock: Clock,
        meters: ReplicaMeters,
        label: str,
    ) -> None:
        self._primary = primary
        self._standby = standby
        self._settings = settings
        self._clock = clock
        self._label = label
        self._used = meters.used.labels(label)
        self._lag = meters.lag.labels(label)
        self._is_used = False
        self._is_told = False
        # When a position was the primary's newest, as long as it is not replayed.
        # A time of replay would not do: it stands still where nothing is written.
        self._behind: deque[tuple[float, int]] = deque(maxlen=_MOST_SAMPLES)

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """All rows of one statement."""
        return await self._read(lambda server: server.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None:
        """The first row; None when there is none."""
        return await self._read(lambda server: server.fetchrow(sql, *args))

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row; what it holds, the statement says."""
        return await self._read(lambda server: server.fetchval(sql, *args))

    async def watch(self) -> None:
        """Looks once in a while, for as long as it runs."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.replica_check_seconds)

    async def look(self) -> None:
        """Decides who is asked until the next look."""
        now = self._clock.monotonic()
        try:
            written = await self._primary.fetchval(WRITTEN)
        except FAILURES:
            # What is not known to be written cannot be missed: the standby goes on.
            pass
        else:
            if not self._behind or written > self._behind[-1][1]:
                self._behind.append((now, written))
        try:
            replayed = await self._standby.fetchval(REPLAYED)
        except FAILURES as error:
            self._leave(str(error))
            return
        if replayed is None:
            self._leave("it is no standby")
            return
        while self._behind and self._behind[0][1] <= replayed:
            self._behind.popleft()
        lag = now - self._behind[0][0] if self._behind else 0.0
        self._lag.set(lag)
        if lag > self._settings.replica_lag_seconds:
            self._leave("it trails")
        else:
            self._use()

    async def _read(self, ask: Callable[[Reads], Awaitable[T]]) -> T:
        if self._is_used:
            # Half of the time there is, so that the primary can still be asked.
            half = deadline.bound(self._settings.command_timeout) / 2
            try:
                async with deadline.limit(half):
                    return await ask(self._standby)
            except ResourceExhausted:
                # It has too much to do, which is no reason to give it nothing.
                pass
            except (Unavailable, DeadlineExceeded) as error:
                self._leave(str(error))
        return await ask(self._primary)

    def _use(self) -> None:
        if not self._is_used:
            self._is_used = True
            self._used.set(1)
            log.info("replica_used", pool=self._label)

    def _leave(self, why: str) -> None:
        if self._is_used or not self._is_told:
            self._is_told = True
            log.warning("replica_not_used", pool=self._label, why=why)
        self._is_used = False
        self._used.set(0)
