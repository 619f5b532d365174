"""What reading counts, for those who operate it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from chassis.errors import Unavailable
from chassis.metrics import Metrics
from chassis.testing import refuses

from svc_feed.meters_reading import ColdMeters, MeasuredFeeds, TierMeters
from svc_feed.model import FeedQuery, Order
from tests.support.home_feeds import ANN, BEN, OLD, World


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_pages_are_counted_by_how_they_were_served() -> None:
    """Each once, under what its labels say; a refused one is no page."""
    world, registry = World(), CollectorRegistry()
    feeds = MeasuredFeeds(feeds=world.home_feed, metrics=Metrics(registry))
    world.follow(ANN, BEN)
    await world.posts_of(BEN, 3)
    query = FeedQuery(ANN, Order.LATEST, 2, "", False, False, 0)

    for _ in range(3):
        await feeds.page(query)
    world.index.is_down = world.hot_feeds.is_down = True
    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await feeds.page(query)

    counted = "feedmesh_feed_pages_total"
    kind = {"served_as": "latest", "end_reason": "none"}
    assert value(registry, counted, served_from="index", **kind) == 1
    assert value(registry, counted, served_from="hot", **kind) == 2
    world.hot_feeds.is_down = world.index.is_down = False
    assert await feeds.new_post_count(ANN, min_graph_version=0) == 0


async def test_rebuilds_are_timed_by_kind() -> None:
    """Those that failed apart from those that were done."""
    registry = CollectorRegistry()
    meters = ColdMeters(metrics=Metrics(registry))
    meters.took("first", 0.2, is_done=True)
    meters.took("first", 0.6, is_done=False)

    name = "feedmesh_feed_rebuild_seconds_sum"
    assert value(registry, name, kind="first", outcome="done") == 0.2
    assert value(registry, name, kind="first", outcome="failed") == 0.6


async def test_what_a_cold_feed_took_is_told() -> None:
    """While a page waits, in the background, and when it failed."""
    world = World()
    world.follow(OLD, BEN)
    await world.posts_of(BEN, 50)
    await world.page(OLD)
    world.down.add("recents")
    await world.rebuild.complete_next()

    assert world.timed[0] == ("first", True)
    assert world.timed[-1] == ("rest", False)
    assert set(world.timed[1:-1]) <= {("pull", True)}


async def test_readers_are_counted_by_tier() -> None:
    """What cannot be counted stays as it was."""
    world, registry = World(), CollectorRegistry()
    tiers = TierMeters(readers=world.readers, metrics=Metrics(registry))
    await world.page(ANN)
    await tiers.count()
    world.readers.is_down = True
    await tiers.count()

    counts = [
        value(registry, "feedmesh_readers", tier=tier)
        for tier in ("hot", "warm", "cold")
    ]
    assert counts == [1, 0, 0]
