"""Metrics: one registry for each App, no globals."""

import pytest
from prometheus_client import CollectorRegistry

from chassis.breaker import State
from chassis.metrics import BreakerMetrics, Metrics, measuring, registry


def test_same_name_is_the_same_metric() -> None:
    """Four channels of one App share what they count."""
    into = CollectorRegistry()

    assert Metrics(into).counter("calls", "C.") is Metrics(into).counter("calls", "C.")
    with pytest.raises(TypeError, match="calls is a Counter already"):
        Metrics(into).gauge("calls", "C.")


def test_what_is_opened_inside_belongs_to_the_app() -> None:
    """Two services in one process keep their numbers apart."""
    one, two = CollectorRegistry(), CollectorRegistry()
    with measuring(one):
        Metrics().counter("calls", "C.").inc()
        with measuring(two):
            assert registry() is two

    assert one.get_sample_value("calls_total") == 1
    assert two.get_sample_value("calls_total") is None


def test_breaker_changes_are_exported() -> None:
    """Which state each breaker is in."""
    into = CollectorRegistry()
    BreakerMetrics(into).changed("svc_rank", State.CLOSED, State.OPEN)

    def value(state: str) -> float | None:
        return into.get_sample_value(
            "breaker_state", {"breaker": "svc_rank", "state": state}
        )

    assert (value("closed"), value("open")) == (0, 1)
