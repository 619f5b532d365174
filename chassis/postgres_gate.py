"""A pool that gives nothing any more: for a while nobody waits for it.

Not chassis.breaker, which judges the share of failed and slow calls among many: a
pool is exhausted when not one connection is had for seconds, be it by two callers or
by two thousand, and one that is had, or comes back whole, proves that it is not.
"""

from chassis.breaker import OnChange, State
from chassis.clock import Clock
from chassis.errors import Unavailable


class Gate:
    """Before one pool. Pure but for the clock; nothing in it waits."""

    def __init__(
        self,
        *,
        name: str,
        after: float,
        retry: float,
        clock: Clock,
        on_change: OnChange,
    ) -> None:
        """Opens the circuit when nothing was had for `after` seconds; from then on
        one caller tries every `retry` seconds."""
        self._name = name
        self._after = after
        self._retry = retry
        self._clock = clock
        self._on_change = on_change
        self._state = State.CLOSED
        self._failing_since: float | None = None
        self._next_try = 0.0

    @property
    def state(self) -> State:
        """Closed: everybody may try. Half-open: somebody tries."""
        return self._state

    def enter(self) -> bool:
        """Whether this caller is the one who tries for all.

        Raises Unavailable when it may not even wait. Whoever may enter says
        afterwards how it went: had, failed, or gave_up.
        """
        if self._state is State.CLOSED:
            return False
        now = self._clock.monotonic()
        if self._state is State.HALF_OPEN or now < self._next_try:
            raise Unavailable(
                "DEPENDENCY_UNAVAILABLE",
                "the database has no connection to give",
                retry_after=self._retry,
            )
        self._change(State.HALF_OPEN)
        return True

    def had(self) -> None:
        """A connection was had, or one came back that still works."""
        self._failing_since = None
        if self._state is not State.CLOSED:
            self._change(State.CLOSED)

    def failed(self) -> None:
        """None was had within the time there was."""
        now = self._clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if self._state is State.CLOSED and now - self._failing_since < self._after:
            return
        self._next_try = now + self._retry
        if self._state is not State.OPEN:
            self._change(State.OPEN)

    def gave_up(self) -> None:
        """The one who tried went away before it was known; the next may try."""
        if self._state is State.HALF_OPEN:
            self._change(State.OPEN)

    def _change(self, after: State) -> None:
        before, self._state = self._state, after
        self._on_change(self._name, before, after)
