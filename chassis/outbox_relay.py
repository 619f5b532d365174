"""The relay: carries rows of the outbox to the bus, marks what the bus stored.

It claims rows that are not published, with SKIP LOCKED, and never by `id > last`:
ids are handed out before their transactions commit, in another order. A row that
was published but not marked is published again; consumers do not mind.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from chassis import context, ids
from chassis.clock import Clock
from chassis.errors import MeshError
from chassis.meters import outbox_meters
from chassis.postgres import Pool

log = structlog.get_logger(__name__)

IN_FLIGHT = 256
POLL_SECONDS = 0.2
KEPT = timedelta(days=7)

_BACKOFF = (0.05, 5.0)
# Clocks of this service and of the bus may differ by this much.
_SKEW = timedelta(seconds=10)
_FORGET_BATCH = 5000

OLDEST = "SELECT min(id) FROM outbox WHERE published_at IS NULL"

CLAIM = """
SELECT id, subject, payload, trace, request_id FROM outbox
WHERE published_at IS NULL
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED
"""

MARK = "UPDATE outbox SET published_at = $2 WHERE id = ANY($1::bigint[])"

STREAM = "SELECT created_at FROM outbox_stream WHERE source = $1"

REMEMBER_STREAM = """
INSERT INTO outbox_stream (source, created_at) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE SET created_at = excluded.created_at
"""

FORGET = """
UPDATE outbox SET published_at = NULL WHERE id IN (
    SELECT id FROM outbox WHERE id >= $1 AND published_at < $2 ORDER BY id LIMIT $3
)
"""


def wake_subject(source: str) -> str:
    """Where a commit tells the relay that there is something to publish."""
    return f"wake.outbox.{source}"


class EventBus(Protocol):
    """What the relay needs of the bus."""

    @property
    def stream_created(self) -> datetime | None: ...

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> None: ...

    def listen(
        self, subject: str, callback: Callable[[bytes], Awaitable[None]]
    ) -> AbstractAsyncContextManager[None]: ...


class OutboxRelay:
    """Publishes the outbox of one database. Several may run side by side."""

    def __init__(
        self,
        *,
        pool: Pool,
        bus: EventBus,
        clock: Clock,
        source: str,
        metrics: CollectorRegistry | None = None,
    ) -> None:
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._source = source
        meters = outbox_meters(metrics)
        self._lag = meters.lag.labels(source)
        self._published = meters.published.labels(source)
        self._failed = meters.failed.labels(source)
        self._woken = asyncio.Event()
        self._stream: datetime | None = None

    async def run(self) -> None:
        """Publishes until it is cancelled. Failures are tried again for ever."""
        delay = _BACKOFF[0]
        async with self._bus.listen(wake_subject(self._source), self._wake):
            while True:
                try:
                    more = await self.publish_waiting()
                except MeshError as error:
                    log.warning("outbox_waits", source=self._source, error=str(error))
                    await asyncio.sleep(delay * random.uniform(0.5, 1))
                    delay = min(2 * delay, _BACKOFF[1])
                    continue
                delay = _BACKOFF[0]
                if not more:
                    await self._sleep()

    async def publish_waiting(self) -> bool:
        """One round; whether there may be more. Raises what stopped it."""
        await self._follow_stream()
        oldest = await self._pool.fetchval(OLDEST)
        self._lag.set(self._age(oldest))
        if oldest is None:
            return False
        async with self._pool.transaction() as tx:
            rows = await tx.fetch(CLAIM, IN_FLIGHT)
            outcomes = await asyncio.gather(*map(self._publish, rows))
            stored = [r["id"] for r, e in zip(rows, outcomes, strict=True) if e is None]
            if stored:
                await tx.execute(MARK, stored, self._clock.now())
        self._published.inc(len(stored))
        self._failed.inc(len(rows) - len(stored))
        for error in outcomes:
            if error is not None:
                raise error
        return len(rows) == IN_FLIGHT

    async def republish(self, since: datetime, before: datetime) -> int:
        """Marks what was made since and published before as not published; answers
        how many. Consumers get these events again."""
        total = 0
        while True:
            tag = await self._pool.execute(
                FORGET, ids.floor_of(since), before, _FORGET_BATCH
            )
            count = int(tag.rsplit(" ", 1)[1])
            total += count
            if count < _FORGET_BATCH:
                return total

    async def _publish(self, row: asyncpg.Record) -> MeshError | None:
        headers = {
            context.TRACEPARENT_KEY: row["trace"],
            context.REQUEST_ID_KEY: row["request_id"],
        }
        try:
            await self._bus.publish(
                row["subject"],
                row["payload"],
                msg_id=f"{self._source}-{row['id']}",
                headers={name: value for name, value in headers.items() if value},
            )
        except MeshError as error:
            return error
        return None

    async def _follow_stream(self) -> None:
        """Publishes everything kept again when the stream was lost and made anew."""
        created = self._bus.stream_created
        if created is None or created == self._stream:
            return
        known = await self._pool.fetchval(STREAM, self._source)
        if known is not None and known != created:
            since = self._clock.now() - KEPT
            count = await self.republish(since, created + _SKEW)
            log.error("outbox_republished", source=self._source, events=count)
        await self._pool.execute(REMEMBER_STREAM, self._source, created)
        self._stream = created

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _wake(self, _: bytes) -> None:
        self._woken.set()

    def _age(self, oldest: int | None) -> float:
        if oldest is None:
            return 0
        return (self._clock.now() - ids.time_of(oldest)).total_seconds()
