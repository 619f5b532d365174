"""The time. The only module that asks the machine for it."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time; passed in, so that tests can set it."""

    def now(self) -> datetime:
        """The wall-clock time, aware, in UTC. May go backwards."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary instant. Never goes backwards."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
