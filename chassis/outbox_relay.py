"""The relay: carries rows of the outbox to the bus, marks what the bus stored.

It claims rows that are not published, with SKIP LOCKED, and never by `id > last`:
ids are handed out before their transactions commit, in another order. A row that
was published but not marked is published again; consumers do not mind.

The claim lasts as long as the transaction. A relay that is frozen for longer loses
its connection to the server's limit on idle transactions, and its marks with it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from chassis import context, ids, outbox_rows, tasks
from chassis.bus_events import StreamState, unavailable
from chassis.clock import Clock
from chassis.errors import MeshError
from chassis.meters import outbox_meters
from chassis.outbox_reconciler import Reconciler, message_id
from chassis.postgres import Pool, Transaction

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
RECONCILE_SECONDS = 60.0

_BACKOFF = (0.05, 5.0)


def wake_subject(source: str) -> str:
    """Where a commit tells the relay that there is something to publish."""
    return f"wake.outbox.{source}"


class Published(Protocol):
    """An acknowledgement of the bus."""

    @property
    def sequence(self) -> int: ...

    @property
    def is_duplicate(self) -> bool: ...


class EventBus(Protocol):
    """What the relay needs of the bus."""

    @property
    def stream_created(self) -> datetime | None: ...

    @property
    def connections(self) -> int: ...

    async def stream_state(self) -> StreamState: ...

    async def message_id(self, sequence: int) -> str | None: ...

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> Published: ...

    def listen(
        self, subject: str, callback: Callable[[bytes], Awaitable[None]]
    ) -> AbstractAsyncContextManager[None]: ...


class _FellBack(Exception):
    """The stream gave a sequence that it had given before."""


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
        self._reconciler = Reconciler(
            pool=pool, stream=bus, clock=clock, source=source, meters=meters
        )
        self._known: tuple[int, datetime | None] = (0, None)

    async def run(self) -> None:
        """Publishes until it is cancelled, and looks every minute for what the stream
        lost. Failures are tried again for ever."""
        delay = _BACKOFF[0]
        async with (
            self._bus.listen(wake_subject(self._source), self._wake),
            tasks.beside(self._reconcile()),
        ):
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

    async def _reconcile(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE_SECONDS)
            try:
                await self.check()
            except MeshError as error:
                log.warning("outbox_unchecked", source=self._source, error=str(error))

    async def check(self) -> int:
        """Has the relay publish again what the stream lost; answers how many."""
        lost = await self._reconciler.check()
        self._woken.set()
        return lost

    async def publish_waiting(self) -> bool:
        """One round; whether there may be more. Raises what stopped it."""
        before = await self._pool.fetchrow(outbox_rows.BEFORE)
        assert before is not None
        self._lag.set(self._age(before["oldest"]))
        if await self._follow_stream():
            return True
        if before["oldest"] is None:
            return False
        if self._bus.stream_created is None:
            raise unavailable()
        try:
            async with self._pool.transaction() as tx:
                rows = await outbox_rows.claim(tx)
                outcomes = await asyncio.gather(*map(self._publish, rows))
                stored = await self._mark(tx, rows, outcomes, before["mark"] or 0)
        except _FellBack:
            # What came out just now is not marked, so that all that is marked was
            # given by the stream as it was; it comes again, and is folded.
            await self.check()
            return True
        self._published.inc(stored)
        self._failed.inc(len(rows) - stored)
        for outcome in outcomes:
            if isinstance(outcome, MeshError):
                raise outcome
        return outbox_rows.is_full(rows)

    async def republish(self, since: datetime, before: datetime) -> int:
        """Marks what was made since and published before as not published; answers
        how many. Consumers get these events again."""
        return await self._reconciler.republish(since, before)

    async def _mark(
        self,
        tx: Transaction,
        rows: list[asyncpg.Record],
        outcomes: list[Published | MeshError],
        mark: int,
    ) -> int:
        """Notes the sequences; answers how many. Each must be above the mark, which
        was read before anything was published, or the stream fell back; behind
        another connection it may have."""
        stored = [
            (row["id"], outcome)
            for row, outcome in zip(rows, outcomes, strict=True)
            if not isinstance(outcome, MeshError)
        ]
        if self._known != self._stream_now() or any(
            outcome.sequence <= mark and not outcome.is_duplicate
            for _, outcome in stored
        ):
            raise _FellBack
        sequences = [(row, outcome.sequence) for row, outcome in stored]
        await outbox_rows.mark(tx, sequences, self._clock.now())
        return len(stored)

    async def _publish(self, row: asyncpg.Record) -> Published | MeshError:
        headers = {
            context.TRACEPARENT_KEY: row["trace"],
            context.REQUEST_ID_KEY: row["request_id"],
        }
        try:
            return await self._bus.publish(
                row["subject"],
                row["payload"],
                msg_id=message_id(self._source, row["id"], row["stream_sequence"]),
                headers={name: value for name, value in headers.items() if value},
            )
        except MeshError as error:
            return error

    async def _follow_stream(self) -> bool:
        """Whether it had to look what the stream has.

        Behind a new connection, or with another birth, may be a store that lost
        events; until that is known nothing is published, which would cover it up.
        """
        now = self._stream_now()
        if now[1] is None or now == self._known:
            return False
        await self.check()
        self._known = now
        return True

    def _stream_now(self) -> tuple[int, datetime | None]:
        return self._bus.connections, self._bus.stream_created

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
