"""What the edge counts: requests by route template, verb and status."""

from __future__ import annotations

from prometheus_client import Histogram

from chassis.metrics import Metrics

# Methods in use; others would let a client make labels.
VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """Duration and number of requests."""

    def __init__(self, metrics: Metrics) -> None:
        self._durations = metrics.histogram(
            "http_server_request_duration_seconds",
            "How long requests took, streams until their end.",
            ("http_route", "http_request_method", "http_response_status_code"),
        )
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, route: str, verb: str, status: int, seconds: float) -> None:
        key = (route, verb if verb in VERBS else "_OTHER", status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._durations.labels(*map(str, key))
        child.observe(seconds)
