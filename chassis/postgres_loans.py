"""Connections that are lent: since when, and where in the code they were taken."""

import asyncio
import sys
from types import CodeType

import structlog
from prometheus_client import Counter

from chassis.clock import Clock
from chassis.postgres_driver import Connection

log = structlog.get_logger(__name__)

# What lends and passes on; whoever took the connection stands above it.
_PASSED_OVER = frozenset(
    {"chassis.postgres", "chassis.postgres_statements", "contextlib"}
)

# Between two looks: a share of the time after which a loan is a leak.
_LOOKS = 4


class _Loan:
    __slots__ = ("at", "code", "is_told", "since")

    def __init__(self, code: CodeType, at: int, since: float) -> None:
        self.code = code
        self.at = at
        self.since = since
        self.is_told = False

    @property
    def place(self) -> str:
        """file:line function, worked out only for those that are told of."""
        line = self.code.co_firstlineno
        for begin, end, number in self.code.co_lines():
            if begin <= self.at < end and number is not None:
                line = number
        return f"{self.code.co_filename}:{line} {self.code.co_qualname}"


class Loans:
    """The loans of one pool. Those that last too long are told of, once each."""

    def __init__(
        self, *, pool: str, after: float, clock: Clock, leaked: Counter
    ) -> None:
        self._pool = pool
        self._after = after
        self._clock = clock
        self._leaked = leaked.labels(pool)
        self._loans: dict[Connection, _Loan] = {}

    def __len__(self) -> int:
        return len(self._loans)

    def lent(self, con: Connection) -> None:
        """To be called by the pool, below whoever takes the connection."""
        # No traceback: that would cost more than the loan. The frame itself is not
        # kept, as it would keep all that lies in it alive.
        frame = sys._getframe(2)
        while (
            frame.f_back is not None and frame.f_globals.get("__name__") in _PASSED_OVER
        ):
            frame = frame.f_back
        now = self._clock.monotonic()
        self._loans[con] = _Loan(frame.f_code, frame.f_lasti, now)

    def returned(self, con: Connection) -> None:
        del self._loans[con]

    def oldest(self) -> float:
        """Seconds that the longest loan has lasted."""
        now = self._clock.monotonic()
        return max((now - loan.since for loan in self._loans.values()), default=0.0)

    def tell(self) -> None:
        """Logs the loans that have lasted too long and were not told of yet."""
        now = self._clock.monotonic()
        for loan in self._loans.values():
            if not loan.is_told and now - loan.since > self._after:
                loan.is_told = True
                self._leaked.inc()
                log.error(
                    "connection_leaked",
                    pool=self._pool,
                    taken_at=loan.place,
                    seconds=round(now - loan.since, 1),
                )

    async def watch(self) -> None:
        """Tells for as long as it runs."""
        while True:
            await asyncio.sleep(self._after / _LOOKS)
            self.tell()
