"""What the data half counts: pools, Valkey, outbox, bus."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chassis.metrics import Metrics

_CALLS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)


@dataclass(frozen=True)
class PoolMeters:
    """One Postgres pool of a process, by its host and database."""

    size: Gauge
    in_use: Gauge
    waiters: Gauge
    wait: Histogram


@dataclass(frozen=True)
class ValkeyMeters:
    """Round trips to Valkey, by command and outcome."""

    calls: Histogram
    breaker_open: Gauge


@dataclass(frozen=True)
class OutboxMeters:
    """The relay of one outbox."""

    lag: Gauge
    published: Counter
    failed: Counter


@dataclass(frozen=True)
class BusMeters:
    """One consumer, by its durable name."""

    handled: Counter
    duration: Histogram
    pending: Gauge


def pool_meters(into: CollectorRegistry | None) -> PoolMeters:
    made = Metrics(into)
    labels = ("pool",)
    return PoolMeters(
        made.gauge("postgres_connections", "Open connections.", labels),
        made.gauge("postgres_connections_in_use", "Connections lent now.", labels),
        made.gauge("postgres_waiters", "Calls that wait for a connection.", labels),
        made.histogram(
            "postgres_acquire_seconds",
            "Time until a connection was free.",
            labels,
            (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
        ),
    )


def valkey_meters(into: CollectorRegistry | None) -> ValkeyMeters:
    made = Metrics(into)
    return ValkeyMeters(
        made.histogram(
            "valkey_call_seconds", "Round trips.", ("command", "outcome"), _CALLS
        ),
        made.gauge("valkey_breaker_open", "1 while Valkey is not called at all."),
    )


def outbox_meters(into: CollectorRegistry | None) -> OutboxMeters:
    made = Metrics(into)
    labels = ("source",)
    return OutboxMeters(
        made.gauge(
            "outbox_lag_seconds", "Age of the oldest event not published.", labels
        ),
        made.counter("outbox_published", "Events the bus acknowledged.", labels),
        made.counter("outbox_failed", "Attempts that failed, to be repeated.", labels),
    )


def bus_meters(into: CollectorRegistry | None) -> BusMeters:
    made = Metrics(into)
    return BusMeters(
        made.counter(
            "bus_handled", "Events, by how handling ended.", ("durable", "outcome")
        ),
        made.histogram(
            "bus_handle_seconds", "Time to handle an event or a batch.", ("durable",)
        ),
        made.gauge("bus_pending", "Events not handed out yet.", ("durable",)),
    )
