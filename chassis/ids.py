"""Time-ordered int64 ids: 41 bits of milliseconds, 10 of node, 12 of sequence."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

from chassis.clock import Clock

# 2025-01-01T00:00:00Z in Unix milliseconds; 41 bits from here last until 2094.
EPOCH_MS = 1_735_689_600_000

NODES = 1024
_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_SEQUENCE_BITS = 12
_TIME_SHIFT = 22
_LAST_SEQUENCE = (1 << _SEQUENCE_BITS) - 1
_MILLISECOND = timedelta(milliseconds=1)

NEXT_NODE = "SELECT nextval('node_id')"


class _Pool(Protocol):
    async def fetchval(self, sql: str, *args: object) -> int: ...


class Ids:
    """Hands out ids, each larger than the one before.

    A clock that steps back does not take the ids back with it: they go on from
    the last one until the clock has caught up.
    """

    def __init__(self, *, clock: Clock, node: int) -> None:
        if not 0 <= node < NODES:
            raise ValueError(f"node {node} is not below {NODES}")
        self._clock = clock
        self._node = node << _SEQUENCE_BITS
        self._ms = 0
        self._sequence = 0

    def next(self) -> int:
        ms = _ms_since_epoch(self._clock.now())
        if ms > self._ms:
            self._ms = ms
            self._sequence = 0
        elif self._sequence < _LAST_SEQUENCE:
            self._sequence += 1
        else:
            # 4,096 ids within one millisecond: borrow from the next.
            self._ms += 1
            self._sequence = 0
        return self._ms << _TIME_SHIFT | self._node | self._sequence


def time_of(identifier: int) -> datetime:
    """When the id was made, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=identifier >> _TIME_SHIFT)


def ms_of(identifier: int) -> int:
    """When the id was made, in Unix milliseconds."""
    return (identifier >> _TIME_SHIFT) + EPOCH_MS


def floor_of(instant: datetime) -> int:
    """The smallest id that can be made at the instant; 0 before the epoch."""
    return max(0, _ms_since_epoch(instant)) << _TIME_SHIFT


def floor_of_ms(unix_ms: int) -> int:
    """The same for Unix milliseconds."""
    return max(0, unix_ms - EPOCH_MS) << _TIME_SHIFT


async def allot_node(pool: _Pool) -> int:
    """Takes the next node number from the service's own database.

    The sequence goes round after 1,024 process starts: two processes share a
    number only when one of them has lived through 1,024 starts of its service.
    """
    return await pool.fetchval(NEXT_NODE)


def _ms_since_epoch(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND
