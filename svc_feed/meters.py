"""What svc_feed counts, for those who operate it."""

from __future__ import annotations

from collections import deque

from chassis import ids
from chassis.clock import Clock
from chassis.metrics import Metrics

from .model import Audited, Placed, PostId

# Seconds from a post to the last of its author's followers.
_LAGS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
# Rows of one part of a fan-out.
_ROWS = (1, 5, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000)

# How far back the drift that is told reaches.
LAST_AUDITS = 100


class FanOutMeters:
    """FanOutWatch for Prometheus."""

    def __init__(self, *, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._posts = metrics.counter(
            "feedmesh_fanout_posts", "Posts placed with all who want them."
        )
        self._rows = metrics.histogram(
            "feedmesh_fanout_write_amplification",
            "Rows written by one part of a post's fan-out.",
            (),
            _ROWS,
        )
        self._passed_over = metrics.counter(
            "feedmesh_fanout_passed_over",
            "Followers whose index was left alone: idle, pulling, or placed before.",
        )
        self._lag = metrics.histogram(
            "feedmesh_fanout_lag_seconds",
            "Age of a post when the last of its author's followers had it.",
            (),
            _LAGS,
        )

    def placed(self, post: PostId, placed: Placed) -> None:
        self._rows.observe(placed.rows)
        self._passed_over.inc(placed.passed_over)
        if placed.is_last:
            self._posts.inc()
            age = self._clock.now() - ids.time_of(post)
            self._lag.observe(max(0.0, age.total_seconds()))


class AuditMeters:
    """AuditWatch for Prometheus."""

    def __init__(self, *, metrics: Metrics) -> None:
        self._readers = metrics.counter(
            "feedmesh_feed_audited_readers", "Readers whose index the sampler audited."
        )
        self._drift = metrics.gauge(
            "feedmesh_feed_drift_posts",
            "Posts in which the last 100 audited indexes differed.",
            ("kind",),
        )
        self._repaired = metrics.counter(
            "feedmesh_feed_repaired_posts",
            "Posts that a reader missed and that were placed because they read.",
        )
        self._last: deque[Audited] = deque(maxlen=LAST_AUDITS)
        for kind in ("missing", "extra"):
            self._drift.labels(kind).set(0)

    def audited(self, audited: Audited) -> None:
        self._readers.inc()
        self._last.append(audited)
        missing = sum(len(one.missing) for one in self._last)
        extra = sum(len(one.extra) for one in self._last)
        self._drift.labels("missing").set(missing)
        self._drift.labels("extra").set(extra)

    def repaired(self, missing: int) -> None:
        self._repaired.inc(missing)
