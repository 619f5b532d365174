"""The circuit breaker, under a clock that the test turns."""

import asyncio

import pytest

from chassis.breaker import Breaker, BreakerSettings, Outcome, State
from chassis.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    MeshError,
    ResourceExhausted,
    Unavailable,
)
from chassis.testing import FakeClock, refuses

FAST, SLOW = 0.01, 0.07


class Bench:
    """A breaker without jitter, its clock, and what it reported."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.changes: list[tuple[State, State]] = []
        self.breaker = Breaker(
            "svc_rank",
            BreakerSettings(),
            self.clock,
            lambda _name, before, after: self.changes.append((before, after)),
            chance=lambda: 0,
        )

    def is_(self, state: State) -> bool:
        return self.breaker.state is state

    def calls(self, number: int, outcome: Outcome, seconds: float = FAST) -> None:
        for _ in range(number):
            if self.breaker.allow():
                self.breaker.record(outcome, seconds)

    def opened(self) -> "Bench":
        self.calls(20, Outcome.FAILURE)
        assert self.is_(State.OPEN)
        return self


def test_stays_closed_below_the_minimum() -> None:
    """Nineteen failures in a row may be chance."""
    bench = Bench()
    bench.calls(19, Outcome.FAILURE)

    assert bench.is_(State.CLOSED)


def test_opens_at_half_failures() -> None:
    """At 50 % of at least 20 calls."""
    bench = Bench()
    bench.calls(11, Outcome.SUCCESS)
    bench.calls(10, Outcome.FAILURE)
    assert bench.is_(State.CLOSED)
    bench.calls(1, Outcome.FAILURE)

    assert bench.is_(State.OPEN)
    assert not bench.breaker.allow()
    assert bench.changes == [(State.CLOSED, State.OPEN)]


def test_opens_at_half_slow() -> None:
    """A peer that drags costs as much as one that fails."""
    bench = Bench()
    bench.calls(10, Outcome.SUCCESS, FAST)
    bench.calls(10, Outcome.SUCCESS, SLOW)

    assert bench.is_(State.OPEN)


def test_old_calls_do_not_count() -> None:
    """Only the last ten seconds speak."""
    bench = Bench()
    bench.calls(19, Outcome.FAILURE)
    bench.clock.advance(11)
    bench.calls(19, Outcome.FAILURE)

    assert bench.is_(State.CLOSED)


def test_callers_who_leave_count_as_neither() -> None:
    """An impatient reader says nothing about the peer."""
    bench = Bench()
    bench.calls(100, Outcome.NEITHER, SLOW)

    assert bench.is_(State.CLOSED)


def test_probes_come_after_five_seconds() -> None:
    """Open for five seconds, then three probes and no more."""
    bench = Bench().opened()
    bench.clock.advance(4.9)
    assert not bench.breaker.allow()
    bench.clock.advance(0.2)

    assert bench.is_(State.HALF_OPEN)
    assert [bench.breaker.allow() for _ in range(5)] == [True] * 3 + [False] * 2


def test_two_good_probes_close_it() -> None:
    """2 of 3 is enough, and the past is forgotten."""
    bench = Bench().opened()
    bench.clock.advance(5)
    bench.calls(1, Outcome.FAILURE)
    bench.calls(2, Outcome.SUCCESS)
    assert bench.is_(State.CLOSED)
    bench.calls(19, Outcome.FAILURE)

    assert bench.is_(State.CLOSED)


@pytest.mark.parametrize(
    ("outcome", "seconds"), [(Outcome.FAILURE, FAST), (Outcome.SUCCESS, SLOW)]
)
def test_two_bad_probes_open_it_for_twice_as_long(
    outcome: Outcome, seconds: float
) -> None:
    """A peer that is down is asked less and less often; a slow answer is a bad one."""
    bench = Bench().opened()
    bench.clock.advance(5)
    bench.calls(2, outcome, seconds)
    assert bench.is_(State.OPEN)
    bench.clock.advance(9.9)
    assert bench.is_(State.OPEN)
    bench.clock.advance(0.2)

    assert bench.is_(State.HALF_OPEN)


def test_open_time_grows_to_a_minute_and_starts_over() -> None:
    """5, 10, 20, 40, 60, 60; after closing, 5 again."""
    bench = Bench().opened()
    for seconds in (5, 10, 20, 40, 60, 60):
        bench.clock.advance(seconds - 0.1)
        assert bench.is_(State.OPEN)
        bench.clock.advance(0.2)
        bench.calls(2, Outcome.FAILURE)
    bench.clock.advance(60)
    bench.calls(2, Outcome.SUCCESS)
    bench.opened()
    bench.clock.advance(5)

    assert bench.is_(State.HALF_OPEN)


def test_jitter_draws_the_wait_out() -> None:
    """Many callers of one peer do not all probe in the same instant."""
    bench = Bench()
    late = Breaker(
        "svc_rank",
        BreakerSettings(),
        bench.clock,
        lambda *_: None,
        chance=lambda: 1,
    )
    for _ in range(20):
        late.record(Outcome.FAILURE, FAST)
    bench.clock.advance(5.9)
    assert not late.allow()
    bench.clock.advance(0.2)

    assert late.state is State.HALF_OPEN


def test_half_open_does_not_wait_for_lost_probes() -> None:
    """Probes that are not back within a second have failed."""
    bench = Bench().opened()
    bench.clock.advance(5)
    assert all(bench.breaker.allow() for _ in range(3))
    bench.clock.advance(1.1)
    assert bench.is_(State.OPEN)
    bench.clock.advance(10)

    assert bench.is_(State.HALF_OPEN)
    assert bench.breaker.allow()


def test_half_open_does_not_stick_on_cancelled_probes() -> None:
    """A probe whose caller left gives its place back, as often as that happens."""
    bench = Bench().opened()
    bench.clock.advance(5)
    bench.calls(50, Outcome.NEITHER)
    bench.calls(2, Outcome.SUCCESS)

    assert bench.is_(State.CLOSED)


def test_half_open_waits_for_callers() -> None:
    """When nobody calls, the probes still have their second when somebody does."""
    bench = Bench().opened()
    bench.clock.advance(500)
    bench.calls(1, Outcome.SUCCESS)
    bench.clock.advance(0.9)
    bench.calls(1, Outcome.SUCCESS)

    assert bench.is_(State.CLOSED)


def test_forced() -> None:
    """The switch holds whatever happens, and lets go again."""
    bench = Bench()
    bench.breaker.force("open")
    assert not bench.breaker.allow()
    bench.clock.advance(1000)
    assert bench.is_(State.OPEN)
    bench.breaker.force("closed")
    bench.calls(100, Outcome.FAILURE)
    assert bench.is_(State.CLOSED)
    bench.breaker.force(None)
    bench.opened()

    assert bench.changes == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.CLOSED),
        (State.CLOSED, State.OPEN),
    ]


async def failing(bench: Bench, error: Exception, times: int = 20) -> None:
    async def call() -> None:
        raise error

    for _ in range(times):
        with pytest.raises(type(error)):
            await bench.breaker.call(call)


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (DeadlineExceeded("DEADLINE_EXCEEDED"), True),
        (Unavailable("DEPENDENCY_UNAVAILABLE"), True),
        (ResourceExhausted("OVERLOADED"), True),
        (Internal("INTERNAL"), True),
        (ValueError("not a permutation"), True),
        (InvalidArgument("VALIDATION_FAILED"), False),
        (Cancelled("CANCELLED"), False),
    ],
    ids=repr,
)
async def test_which_errors_speak_against_the_peer(
    error: Exception, opens: bool
) -> None:
    """Invalid output counts; a request that was wrong does not."""
    bench = Bench()
    await failing(bench, error)

    assert bench.is_(State.OPEN) is opens


async def test_refusal_says_when_to_come_back() -> None:
    """The caller learns that the peer is not asked, at once."""
    bench = Bench().opened()
    bench.clock.advance(2)

    with pytest.raises(MeshError) as caught:
        await bench.breaker.call(lambda: asyncio.sleep(0))

    assert type(caught.value) is Unavailable
    assert caught.value.retry_after == pytest.approx(3)


async def test_cancelled_call_gives_its_probe_back() -> None:
    """Callers that leave during a probe do not keep the breaker half-open."""
    bench = Bench().opened()
    bench.clock.advance(5)
    for _ in range(3):
        task = asyncio.get_running_loop().create_task(
            bench.breaker.call(asyncio.Event().wait)
        )
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert await bench.breaker.call(lambda: asyncio.sleep(0, 7)) == 7
    assert await bench.breaker.call(lambda: asyncio.sleep(0, 7)) == 7
    assert bench.is_(State.CLOSED)


async def test_answers_from_before_do_not_count_as_probes() -> None:
    """A call that began when it was closed says nothing about now."""
    bench = Bench()
    answer = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(bench.breaker.call(answer.wait))
        await asyncio.sleep(0)
        bench.opened()
        bench.clock.advance(5)
        assert bench.is_(State.HALF_OPEN)
        answer.set()

    assert bench.is_(State.HALF_OPEN)


async def test_refuses_by_class() -> None:
    """The refusal is an Unavailable like that of the peer itself."""
    bench = Bench().opened()

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await bench.breaker.call(lambda: asyncio.sleep(0))
