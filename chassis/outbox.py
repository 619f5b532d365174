"""The outbox: events written in the transaction that made them true.

append() is the only way to publish. outbox_relay.py carries the rows to the bus.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from google.protobuf.message import Message
from opentelemetry import propagate

from chassis import context
from chassis.clock import Clock
from chassis.ids import Ids
from chassis.outbox_relay import OutboxRelay, wake_subject
from chassis.policy import event_subject
from chassis.postgres import Statements

__all__ = ["Outbox", "OutboxRelay", "OutboxRow"]

APPEND = """
INSERT INTO outbox (id, subject, payload, trace, request_id)
SELECT id, subject, payload, trace, request_id
FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::text[], $5::text[])
    AS t (id, subject, payload, trace, request_id)
"""

# Creates that share a commit wake the relay once.
_WAKE_SECONDS = 0.002


class OutboxRow(NamedTuple):
    """An event on its way into the table."""

    id: int
    subject: str
    payload: bytes
    trace: str
    request_id: str


class Draft(NamedTuple):
    """An event, before its envelope is filled."""

    event: Message
    aggregate_id: int
    version: int


class Hints(Protocol):
    """What carries a hint that may be lost: the bus."""

    async def hint(self, subject: str, payload: bytes = b"") -> None: ...


class Outbox:
    """The events of one service."""

    def __init__(
        self, *, source: str, ids: Ids, clock: Clock, bus: Hints | None = None
    ) -> None:
        """`bus` carries wake-ups to the relay; without it, its poll finds the row."""
        self._source = source
        self._ids = ids
        self._clock = clock
        self._bus = bus
        self._waking = False
        self._wakes: set[asyncio.Task[None]] = set()

    async def append(
        self, tx: Statements, event: Message, *, aggregate_id: int, version: int
    ) -> None:
        """Adds the event to the transaction, its envelope filled.

        The subject is that of the event's option; a message without one raises
        ValueError.
        """
        await self.append_all(tx, [Draft(event, aggregate_id, version)])

    async def append_all(self, tx: Statements, drafts: Sequence[Draft]) -> None:
        """Adds several events of the current call in one statement."""
        await self.append_rows(tx, [self.row(draft) for draft in drafts])

    def row(self, draft: Draft) -> OutboxRow:
        """The event as a row, its envelope filled, with the trace of the current call.

        For append_rows, where events of several calls share a transaction.
        """
        identifier = self._ids.next()
        envelope = draft.event.envelope  # type: ignore[attr-defined]  # all have it
        envelope.event_id = f"{self._source}-{identifier}"
        envelope.occurred_at.FromDatetime(self._clock.now())
        envelope.aggregate_id = draft.aggregate_id
        envelope.aggregate_version = draft.version
        return OutboxRow(
            id=identifier,
            subject=event_subject(type(draft.event)),
            payload=draft.event.SerializeToString(),
            trace=_trace(),
            request_id=context.request_id(),
        )

    async def append_rows(self, tx: Statements, rows: Sequence[OutboxRow]) -> None:
        """Adds the rows to the transaction in one statement."""
        if rows:
            await tx.execute(APPEND, *map(list, zip(*rows, strict=True)))

    def wake(self) -> None:
        """Tells the relay, after the commit, that there is something to publish."""
        if self._bus is None or self._waking:
            return
        self._waking = True
        asyncio.get_running_loop().call_later(_WAKE_SECONDS, self._send_wake, self._bus)

    def _send_wake(self, bus: Hints) -> None:
        self._waking = False
        hint = bus.hint(wake_subject(self._source))
        task = asyncio.get_running_loop().create_task(hint)
        self._wakes.add(task)
        task.add_done_callback(self._wakes.discard)


def _trace() -> str:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get(context.TRACEPARENT_KEY) or context.traceparent()
