"""The gate before a pool, under a clock that the test turns."""

from chassis.breaker import State
from chassis.errors import Unavailable
from chassis.postgres_gate import Gate
from chassis.testing import FakeClock, refuses


class Bench:
    """A gate, its clock, and what it reported."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.changes: list[State] = []
        self.gate = Gate(
            name="postgres db",
            after=3,
            retry=1,
            clock=self.clock,
            on_change=lambda _name, _before, after: self.changes.append(after),
        )

    def refuses_at_once(self) -> None:
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            self.gate.enter()

    def opened(self) -> "Bench":
        self.gate.failed()
        self.clock.advance(3)
        self.gate.failed()
        assert self.gate.state is State.OPEN
        return self


def test_it_opens_when_nobody_got_anything_for_the_whole_time() -> None:
    """One failure is none; seconds of nothing but failures are exhaustion."""
    bench = Bench()
    for _ in range(6):
        assert not bench.gate.enter()
        bench.gate.failed()
        bench.clock.advance(0.5)
        assert bench.gate.state is State.CLOSED
    bench.gate.failed()

    assert bench.gate.state is State.OPEN
    bench.refuses_at_once()


def test_one_connection_proves_that_it_is_not_exhausted() -> None:
    """However many others waited in vain: the time begins anew."""
    bench = Bench()
    bench.gate.failed()
    bench.clock.advance(2.9)
    bench.gate.failed()
    bench.gate.had()
    bench.clock.advance(1)
    bench.gate.failed()
    bench.clock.advance(2.9)
    bench.gate.failed()

    assert bench.gate.state is State.CLOSED


def test_one_tries_for_all_now_and_then() -> None:
    """While that one waits, and until the next try, all others fail at once."""
    bench = Bench().opened()
    bench.clock.advance(1)

    assert bench.gate.enter()
    bench.refuses_at_once()
    bench.gate.failed()
    bench.refuses_at_once()
    bench.clock.advance(1)
    assert bench.gate.enter()
    bench.gate.had()
    assert not bench.gate.enter()
    assert bench.changes == [
        State.OPEN,
        State.HALF_OPEN,
        State.OPEN,
        State.HALF_OPEN,
        State.CLOSED,
    ]


def test_a_try_that_went_away_leaves_its_place_to_the_next() -> None:
    """A caller who hangs up must not hold the gate half-open for ever."""
    bench = Bench().opened()
    bench.clock.advance(1)
    bench.gate.enter()
    bench.gate.gave_up()

    assert bench.gate.enter()


def test_what_comes_back_whole_opens_the_way_at_once() -> None:
    """Nobody has to wait for the next try."""
    bench = Bench().opened()
    bench.gate.had()

    assert bench.gate.state is State.CLOSED
    assert not bench.gate.enter()
