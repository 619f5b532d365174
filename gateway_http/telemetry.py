"""What the edge tells about itself: a histogram and a span for each request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import propagate, trace
from prometheus_client import Histogram

from chassis.metrics import Metrics

from .exchange import Exchange

# Methods in use; others would let a client make labels.
VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SERVER_FAULT = 500


class HttpMetrics:
    """Duration and number of requests, by route template, verb and status."""

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


class Spans:
    """A span for each request, where a collector is set; a child of the caller's."""

    def __init__(self, tracer: trace.Tracer | None) -> None:
        self._tracer = tracer

    @property
    def are_made(self) -> bool:
        return self._tracer is not None

    @contextmanager
    def of(self, exchange: Exchange) -> Iterator[None]:
        """Around the serving of a request; named for its route once that is known."""
        if self._tracer is None:
            yield
            return
        carrier = {"traceparent": exchange.values(b"traceparent")}
        with self._tracer.start_as_current_span(
            exchange.verb,
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": exchange.verb,
                "url.path": exchange.path[:200],
            },
        ) as span:
            try:
                yield
            finally:
                span.update_name(f"{exchange.verb} {exchange.label}")
                span.set_attribute("http.route", exchange.label)
                span.set_attribute("http.response.status_code", exchange.status)
                if exchange.status >= SERVER_FAULT:
                    span.set_status(trace.StatusCode.ERROR)
