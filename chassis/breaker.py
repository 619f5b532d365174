"""A circuit breaker: a peer that fails or drags is not asked for a while.

Closed, it counts the last seconds; too many failures or too many slow answers open
it. Open, it refuses at once. Half-open, a few probes decide. Pure but for the clock
and the jitter it is given; nothing in it waits.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias, TypeVar

from chassis.clock import Clock
from chassis.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    MeshError,
    ResourceExhausted,
    Unavailable,
    Unknown,
)
from chassis.rolling import Window

T = TypeVar("T")


class State(StrEnum):
    """What the breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(StrEnum):
    """What a call says about the peer."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEITHER = "neither"
    """Nothing: its caller went away before the peer could answer."""


OnChange: TypeAlias = Callable[[str, State, State], None]

# What says that the peer is in trouble; other errors are answers as good as any.
FAILURES = (DeadlineExceeded, Unavailable, ResourceExhausted, Internal, Unknown)


@dataclass(frozen=True, kw_only=True)
class BreakerSettings:
    """When it opens, for how long, and what closes it. Times are seconds."""

    window: float = 10.0
    """How far back calls count."""

    min_calls: int = 20
    """Fewer calls in the window say nothing."""

    failure_rate: float = 0.5
    """Share of failures that opens it."""

    slow_after: float = 0.060
    """A call that takes longer is slow."""

    slow_rate: float = 0.5
    """Share of slow calls that opens it."""

    open_for: float = 5.0
    """First time it stays open; each time in a row twice as long."""

    open_at_most: float = 60.0
    """Longest time it stays open."""

    jitter: float = 0.2
    """Share of the time by which it is drawn out at random, so that not all probe."""

    probes: int = 3
    """Calls let through when half-open."""

    probe_time: float = 1.0
    """Probes that are not back by then have failed."""

    probe_rate: float = 2 / 3
    """Share of successful probes that closes it."""


class Breaker:
    """One for each target. Not for use by several threads."""

    def __init__(
        self,
        name: str,
        settings: BreakerSettings,
        clock: Clock,
        on_change: OnChange,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._on_change = on_change
        self._chance = chance
        self._state = State.CLOSED
        self._forced: State | None = None
        self._window = Window(settings.window)
        self._round = 0
        """Grows with every change: what began in an earlier round counts no more."""
        self._until = 0.0
        """End of being open, or of being half-open."""
        self._times_open = 0
        self._begun = self._succeeded = self._failed = 0

    @property
    def name(self) -> str:
        """Of the target."""
        return self._name

    @property
    def state(self) -> State:
        """What it does with a call now."""
        self._pass_time()
        return self._forced or self._state

    def force(self, state: Literal["open", "closed"] | None) -> None:
        """Holds it open or closed whatever happens; None lets it judge again."""
        before = self.state
        self._forced = None if state is None else State(state)
        self._report(before)

    def allow(self) -> bool:
        """Whether a call may go out now. One that goes out is recorded afterwards."""
        if self.state is State.CLOSED:
            return True
        if self._forced is State.OPEN or self._state is State.OPEN:
            return False
        if self._begun >= self._settings.probes:
            return False
        if not self._begun:
            self._until = self._clock.monotonic() + self._settings.probe_time
        self._begun += 1
        return True

    def record(
        self, outcome: Outcome, seconds: float, *, begun_in: int | None = None
    ) -> None:
        """Says how a call went that was allowed, and how long it took."""
        self._pass_time()
        if self._forced or begun_in not in (None, self._round):
            return
        if self._state is State.CLOSED and outcome is not Outcome.NEITHER:
            self._count(outcome is Outcome.FAILURE, seconds)
        elif self._state is State.HALF_OPEN:
            self._judge(outcome, seconds)

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """The answer of a call, or its error; Unavailable when it may not go out."""
        if not self.allow():
            raise Unavailable(
                "DEPENDENCY_UNAVAILABLE",
                f"{self._name} is not called for now",
                retry_after=max(0.0, self._until - self._clock.monotonic()),
            )
        begun_in, began = self._round, self._clock.monotonic()
        outcome = Outcome.NEITHER
        try:
            answer = await make()
            outcome = Outcome.SUCCESS
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            # Also when the caller was cancelled: a probe gives its place back.
            self.record(outcome, self._clock.monotonic() - began, begun_in=begun_in)
        return answer

    def _count(self, failed: bool, seconds: float) -> None:
        settings, window = self._settings, self._window
        window.add(self._clock.monotonic(), failed, seconds > settings.slow_after)
        calls, failures, slow = window.totals(self._clock.monotonic())
        if calls >= settings.min_calls and (
            failures >= settings.failure_rate * calls
            or slow >= settings.slow_rate * calls
        ):
            self._open()

    def _judge(self, outcome: Outcome, seconds: float) -> None:
        """Counts a probe; decides as soon as the others cannot change the result."""
        if outcome is Outcome.NEITHER:
            self._begun -= 1
            return
        if outcome is Outcome.SUCCESS and seconds <= self._settings.slow_after:
            self._succeeded += 1
        else:
            self._failed += 1
        needed = self._settings.probe_rate * self._settings.probes
        if self._succeeded >= needed - 1e-9:
            self._close()
        elif self._settings.probes - self._failed < needed - 1e-9:
            self._open()

    def _pass_time(self) -> None:
        """What time alone changes: open ends, and so does waiting for probes."""
        now = self._clock.monotonic()
        if self._state is State.OPEN and now >= self._until:
            self._begun = self._succeeded = self._failed = 0
            self._change(State.HALF_OPEN)
        elif self._state is State.HALF_OPEN and self._begun and now >= self._until:
            self._open()

    def _open(self) -> None:
        settings = self._settings
        lasting = min(settings.open_for * 2**self._times_open, settings.open_at_most)
        lasting *= 1 + settings.jitter * self._chance()
        self._times_open += 1
        self._until = self._clock.monotonic() + lasting
        self._change(State.OPEN)

    def _close(self) -> None:
        self._times_open = 0
        self._window = Window(self._settings.window)
        self._change(State.CLOSED)

    def _change(self, after: State) -> None:
        before = self._forced or self._state
        self._state = after
        self._round += 1
        self._report(before)

    def _report(self, before: State) -> None:
        after = self._forced or self._state
        if after is not before:
            self._on_change(self._name, before, after)


def outcome_of(error: Exception) -> Outcome:
    """What an error says about the peer; one that is no MeshError speaks against it."""
    if isinstance(error, Cancelled):
        return Outcome.NEITHER
    if isinstance(error, MeshError) and not isinstance(error, FAILURES):
        return Outcome.SUCCESS
    return Outcome.FAILURE
