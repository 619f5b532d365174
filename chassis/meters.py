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
    failed: Counter
    oldest: Gauge
    leaked: Counter


@dataclass(frozen=True)
class ReplicaMeters:
    """The replica of one Postgres pool."""

    used: Gauge
    lag: Gauge


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
    republished: Counter
    mark: Gauge
    stream: Gauge


@dataclass(frozen=True)
class BusMeters:
    """One consumer, by its durable name."""

    handled: Counter
    duration: Histogram
    pending: Gauge
    dead: Counter
    redelivered: Counter
    held: Gauge
    held_seconds: Counter
    delivered: Gauge
    settled: Gauge
    remade: Counter


def pool_meters(into: CollectorRegistry | None) -> PoolMeters:
    made = Metrics(into)
    labels = ("pool",)
    return PoolMeters(
        made.gauge("postgres_connections", "Open connections.", labels),
        made.gauge("postgres_connections_in_use", "Connections lent now.", labels),
        made.gauge("postgres_waiters", "Calls that wait for a connection.", labels),
        made.histogram(
            "postgres_acquire_seconds",
            "Time until a connection was free, or was no longer waited for.",
            labels,
            (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
        ),
        made.counter(
            "postgres_acquire_failed",
            "Calls that got no connection: the pool was full, the server away, the"
            " caller's deadline over, or the pool's breaker open.",
            (*labels, "cause"),
        ),
        made.gauge(
            "postgres_oldest_loan_seconds",
            "How long the connection is lent that is lent longest.",
            labels,
        ),
        made.counter(
            "postgres_leaked", "Connections that were lent for too long.", labels
        ),
    )


def replica_meters(into: CollectorRegistry | None) -> ReplicaMeters:
    made = Metrics(into)
    labels = ("pool",)
    return ReplicaMeters(
        made.gauge("postgres_replica_used", "1 while the replica is read.", labels),
        made.gauge(
            "postgres_replica_lag_seconds",
            "How long the replica lacks something that was written.",
            labels,
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
        made.counter(
            "outbox_republished", "Events the stream had lost, sent again.", labels
        ),
        made.gauge(
            "outbox_sequence", "Highest sequence the stream gave an event.", labels
        ),
        made.gauge("outbox_stream_sequence", "Last sequence of the stream.", labels),
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
        made.counter(
            "bus_dead_letters",
            "Events given up, by the class of the last error.",
            ("durable", "reason"),
        ),
        made.counter(
            "bus_redelivered", "Deliveries that were not the first.", ("durable",)
        ),
        made.gauge(
            "bus_held", "Events that wait for a dependency to be back.", ("durable",)
        ),
        made.counter(
            "bus_held_seconds", "Time events waited for a dependency.", ("durable",)
        ),
        made.gauge("bus_delivered_sequence", "Last sequence handed out.", ("durable",)),
        made.gauge(
            "bus_settled_sequence",
            "Sequence up to which all is settled.",
            ("durable",),
        ),
        made.counter(
            "bus_remade",
            "Times a durable was made anew that had vanished, or stood beyond the"
            " stream's end.",
            ("durable",),
        ),
    )
