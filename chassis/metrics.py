"""Numbers for Prometheus: one registry for each App, made without globals."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from time import perf_counter
from typing import TypeVar
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from chassis import policy
from chassis.breaker import State

log = structlog.get_logger()

Kind = TypeVar("Kind", bound=MetricWrapperBase)

# Seconds: from a read in memory to what no caller waits for.
BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)

OTHER = "_OTHER"

_current: ContextVar[CollectorRegistry | None] = ContextVar("registry", default=None)


def registry() -> CollectorRegistry:
    """The registry of the App being assembled; a new one outside of that."""
    return _current.get() or CollectorRegistry()


@contextlib.contextmanager
def measuring(into: CollectorRegistry) -> Iterator[None]:
    """Makes into the registry of the channels, pools and the App opened inside."""
    token = _current.set(into)
    try:
        yield
    finally:
        _current.reset(token)


# What was made in a registry, by name: two channels of one App share their metrics.
_made: WeakKeyDictionary[CollectorRegistry, dict[str, MetricWrapperBase]] = (
    WeakKeyDictionary()
)


class Metrics:
    """Makes metrics in a registry. Asking twice for a name gives the same metric."""

    def __init__(self, into: CollectorRegistry | None = None) -> None:
        """Without a registry they go into that of the App being assembled."""
        self.registry = into or registry()
        self._made = _made.setdefault(self.registry, {})

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """Something that only grows; its name ends in _total when shown."""
        return self._once(
            name, Counter, lambda: Counter(name, text, labels, registry=self.registry)
        )

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """Something that goes up and down."""
        return self._once(
            name, Gauge, lambda: Gauge(name, text, labels, registry=self.registry)
        )

    def histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = BUCKETS,
    ) -> Histogram:
        """How long things take, in seconds unless buckets say otherwise."""
        return self._once(
            name,
            Histogram,
            lambda: Histogram(
                name, text, labels, registry=self.registry, buckets=buckets
            ),
        )

    def page(self) -> bytes:
        """All of it, in Prometheus' text form."""
        return generate_latest(self.registry)

    def _once(self, name: str, kind: type[Kind], make: Callable[[], Kind]) -> Kind:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = make()
        if not isinstance(made, kind):
            raise TypeError(f"{name} is a {type(made).__name__} already")
        return made


class BreakerMetrics:
    """What breakers do, by name."""

    def __init__(self, into: CollectorRegistry | None = None) -> None:
        self._state = Metrics(into).gauge(
            "breaker_state",
            "1 for the state a circuit breaker is in.",
            ("breaker", "state"),
        )

    def changed(self, name: str, before: State, after: State) -> None:
        """A breaker's on_change: exported, and logged."""
        self._state.labels(name, before.value).set(0)
        self._state.labels(name, after.value).set(1)
        log.warning("breaker changed", breaker=name, before=before, after=after)


class RpcMetrics:
    """Duration and number of calls, on the side that serves or the side that calls."""

    def __init__(self, into: CollectorRegistry | None, *, side: str) -> None:
        made = Metrics(into)
        self._durations = made.histogram(
            f"rpc_{side}_call_duration_seconds",
            f"How long calls took, on the {side}'s side.",
            ("rpc_method", "rpc_response_status_code"),
        )
        self._in_flight = made.gauge(
            f"rpc_{side}_calls_in_flight",
            f"Calls under way, on the {side}'s side.",
            ("rpc_method",),
        )

    def of(self, path: str) -> "MethodMetrics":
        """The metrics of one method; all that are not in the contract share one."""
        known = path in policy.methods() or path.startswith(policy.EXEMPT)
        return MethodMetrics(
            path.lstrip("/") if known else OTHER, self._durations, self._in_flight
        )


class MethodMetrics:
    """The metrics of one method, looked up once."""

    def __init__(self, name: str, durations: Histogram, in_flight: Gauge) -> None:
        self._name = name
        self._durations = durations
        self._in_flight = in_flight.labels(name)
        self._by_code: dict[str, Histogram] = {}

    def begin(self) -> "Measured":
        """A call begins."""
        self._in_flight.inc()
        return Measured(self)

    def leave(self) -> None:
        """A call is no longer under way."""
        self._in_flight.dec()

    def observe(self, code: str, seconds: float) -> None:
        """A call ended with the status of this name."""
        child = self._by_code.get(code)
        if child is None:
            child = self._by_code[code] = self._durations.labels(self._name, code)
        child.observe(seconds)


class Measured:
    """One call being measured: its end and its leaving count once each."""

    __slots__ = ("_ended", "_left", "_of", "_started")

    def __init__(self, of: MethodMetrics) -> None:
        self._of = of
        self._started = perf_counter()
        self._ended = self._left = False

    def end(self, code: str) -> None:
        """The status is known."""
        if not self._ended:
            self._ended = True
            self._of.observe(code, perf_counter() - self._started)

    def leave(self) -> None:
        """The call is over, whether or not anybody heard how."""
        if not self._left:
            self._left = True
            self._of.leave()
