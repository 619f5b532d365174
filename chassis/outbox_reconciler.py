"""The reconciler: what the stream lost is published again from the outbox.

The outbox has, with each row that was published, the sequence of the broker's
acknowledgement. A row is lost when its sequence is beyond the stream's end, before
its beginning though younger than the stream keeps, in a gap, or somebody else's: a
store that fell back to an older state gives sequences twice. A stream of another
birth has none of the rows.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import asyncpg
import structlog

from chassis import ids
from chassis.bus_events import StreamState
from chassis.bus_streams import EVENTS_KEPT
from chassis.clock import Clock
from chassis.meters import OutboxMeters
from chassis.postgres import Pool

log = structlog.get_logger(__name__)

KEPT = timedelta(days=7)

# Clocks of this service and of the bus may differ by this much.
_SKEW = timedelta(seconds=10)
# An event this near to the end of its time may be gone of itself.
_MARGIN = timedelta(hours=1)
_FORGET_BATCH = 5000
# Rows compared with the stream at a time, once something is wrong.
_PAGE = 256
# Rows looked at when nothing seems wrong: the newest, and others further and further
# back, by twice as many sequences each time.
_PROBES = [2**power - 1 for power in range(24)]

MARK = """
SELECT max(stream_sequence) FROM outbox WHERE published_at IS NOT NULL
"""

STREAM = "SELECT created_at FROM outbox_stream WHERE source = $1"

REMEMBER_STREAM = """
INSERT INTO outbox_stream (source, created_at) VALUES ($1, $2)
ON CONFLICT (source) DO UPDATE SET created_at = excluded.created_at
"""

MADE_SINCE = """
SELECT id FROM outbox WHERE id >= $1 AND published_at < $2 ORDER BY id LIMIT $3
"""

BEYOND_END = """
SELECT id FROM outbox WHERE stream_sequence > $1 AND published_at < $2 LIMIT $3
"""

BEFORE_BEGINNING = """
SELECT id FROM outbox
WHERE stream_sequence < $1 AND published_at < $2 AND id >= $4 LIMIT $3
"""

IN_GAP = """
SELECT id FROM outbox
WHERE stream_sequence = ANY($1::bigint[]) AND published_at < $2 LIMIT $3
"""

# Not `id IN (SELECT …)`: an array is looked up by the index of each partition.
FORGET = """
UPDATE outbox SET published_at = NULL WHERE id = ANY($1::bigint[]) AND published_at < $2
"""

PROBES = """
SELECT DISTINCT nearest.id, nearest.stream_sequence
FROM unnest($1::bigint[]) AS probe (sequence),
LATERAL (
    SELECT id, stream_sequence FROM outbox
    WHERE stream_sequence BETWEEN $2 AND probe.sequence AND published_at < $3
    ORDER BY stream_sequence DESC LIMIT 1
) AS nearest
"""

PAGE = """
SELECT id, stream_sequence FROM outbox
WHERE stream_sequence BETWEEN $1 AND $2 AND published_at < $3
ORDER BY stream_sequence DESC LIMIT $4
"""


class EventStream(Protocol):
    """What the reconciler needs of the bus. Both raise Unavailable."""

    async def stream_state(self) -> StreamState: ...

    async def message_id(self, sequence: int) -> str | None: ...


def message_id(source: str, row: int, lost: int | None) -> str:
    """The message id of a row; of one that was lost, with the sequence it had, so
    that the broker does not take the new message for the old one."""
    first = f"{source}-{row}"
    return first if lost is None else f"{first}-{lost}"


class Reconciler:
    """Compares one outbox with the stream."""

    def __init__(
        self,
        *,
        pool: Pool,
        stream: EventStream,
        clock: Clock,
        source: str,
        meters: OutboxMeters,
    ) -> None:
        self._pool = pool
        self._stream = stream
        self._clock = clock
        self._source = source
        self._republished = meters.republished.labels(source)
        self._mark = meters.mark.labels(source)
        self._last = meters.stream.labels(source)

    async def check(self) -> int:
        """Marks what the stream lost as not published; answers how many rows.

        Rows published later than its beginning are left to the next one. Safe to run
        at the same time elsewhere, and to end half-way.
        """
        now = self._clock.now()
        state = await self._stream.stream_state()
        lost = await self._of_another_birth(state, now)
        lost += await self._forget(BEYOND_END, state.last, now)
        horizon = ids.floor_of(now - EVENTS_KEPT + _MARGIN)
        lost += await self._forget(BEFORE_BEGINNING, state.first, now, horizon)
        if state.missing:
            lost += await self._forget(IN_GAP, list(state.missing), now)
        lost += await self._overwritten(state, now)
        self._mark.set(await self._pool.fetchval(MARK) or 0)
        self._last.set(state.last)
        if lost:
            log.error("outbox_republished", source=self._source, events=lost)
        return lost

    async def republish(self, since: datetime, before: datetime) -> int:
        """Marks what was made since and published before as not published; answers
        how many. Consumers get these events again."""
        return await self._forget(MADE_SINCE, ids.floor_of(since), before)

    async def _of_another_birth(self, state: StreamState, now: datetime) -> int:
        known = await self._pool.fetchval(STREAM, self._source)
        if known == state.created:
            return 0
        lost = 0
        if known is not None:
            lost = await self.republish(now - KEPT, state.created + _SKEW)
        await self._pool.execute(REMEMBER_STREAM, self._source, state.created)
        return lost

    async def _overwritten(self, state: StreamState, now: datetime) -> int:
        """Rows whose sequence the stream has, but for another event."""
        probes = [state.last - back for back in _PROBES if back < state.last]
        first = max(state.first, 1)
        rows = await self._pool.fetch(PROBES, probes, first, now)
        astray = await self._astray(rows)
        if not astray:
            return 0
        lowest = min(row["stream_sequence"] for row in astray)
        lost, top = 0, state.last
        while True:
            page = await self._pool.fetch(PAGE, first, top, now, _PAGE)
            astray = await self._astray(page)
            if not page or (not astray and page[-1]["stream_sequence"] < lowest):
                return lost
            await self._pool.execute(FORGET, [row["id"] for row in astray], now)
            lost += len(astray)
            self._republished.inc(len(astray))
            top = page[-1]["stream_sequence"] - 1

    async def _astray(self, rows: Sequence[asyncpg.Record]) -> list[asyncpg.Record]:
        """Those of at most a page of rows that the stream does not have in their
        places."""
        found = await asyncio.gather(
            *(self._stream.message_id(row["stream_sequence"]) for row in rows)
        )
        return [
            row
            for row, name in zip(rows, found, strict=True)
            if name is None or not self._is_of(row["id"], name)
        ]

    def _is_of(self, row: int, name: str) -> bool:
        own = message_id(self._source, row, None)
        return name == own or name.startswith(f"{own}-")

    async def _forget(
        self, select: str, bound: object, before: datetime, *more: object
    ) -> int:
        total = 0
        while True:
            rows = await self._pool.fetch(select, bound, before, _FORGET_BATCH, *more)
            found = [row["id"] for row in rows]
            if found:
                await self._pool.execute(FORGET, found, before)
            total += len(found)
            self._republished.inc(len(found))
            if len(found) < _FORGET_BATCH:
                return total
