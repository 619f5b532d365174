"""How to reach NATS, and what is asked of it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NatsSettings:
    """How to reach NATS, how large its streams may grow, how long it waits."""

    url: str
    """nats://user:password@host:port; several, comma-separated, for a cluster."""

    replicas: int = 1
    """Copies of each stream: 3 in a cluster."""

    events_max_bytes: int = 4 << 30
    """Size of the stream of events; beyond it events wait in the outbox."""

    dead_max_bytes: int = 256 << 20
    """Size of the stream of dead letters; beyond it the oldest go."""

    publish_timeout: float = 2
    """Seconds to wait for the acknowledgement of an event."""

    start_timeout: float = 2
    """Seconds that opening waits for a connection before going on without."""

    ack_wait: float = 30
    """Seconds after which an event that nobody settled is delivered again; a worker
    that is at it says so three times within."""

    max_deliver: int = 8
    """Deliveries of an event before it goes to the dead letters."""

    ladder: tuple[float, ...] = (1, 5, 15, 30, 60, 120, 300)
    """Seconds until the next delivery of an event that failed, by the number of
    this one; a fifth more or less at random."""

    hold: tuple[float, float] = (0.5, 10)
    """Seconds between tries of an event whose dependency is away: first and longest."""

    patience: float = 120
    """Seconds that an event is held while others succeed; then it is put off."""

    check_seconds: float = 60
    """Between looks at where stream and consumers are."""
