"""What svc_feed counts of reading: pages, and what it takes to make cold ones."""

from __future__ import annotations

import asyncio

from prometheus_client import Counter

from chassis.errors import MeshError
from chassis.metrics import Metrics

from .model import FeedQuery, Page, UserId
from .ports import Feeds, Readers

# Between two counts of all readers.
TIER_SECONDS = 60.0


class MeasuredFeeds:
    """Feeds that count their pages."""

    def __init__(self, *, feeds: Feeds, metrics: Metrics) -> None:
        self._feeds = feeds
        self._pages = metrics.counter(
            "feedmesh_feed_pages",
            "Pages, by order, by where their ids came from, and by why they end.",
            ("served_as", "served_from", "end_reason"),
        )
        # Looked up once: a label costs more than the count.
        self._by_kind: dict[tuple[int, int, int], Counter] = {}

    async def page(self, query: FeedQuery) -> Page:
        page = await self._feeds.page(query)
        kind = (page.served_as, page.served_from, page.end)
        counter = self._by_kind.get(kind)
        if counter is None:
            counter = self._by_kind[kind] = self._pages.labels(
                page.served_as.name.lower(),
                page.served_from.name.lower(),
                page.end.name.lower(),
            )
        counter.inc()
        return page

    async def new_post_count(self, viewer: UserId, *, min_graph_version: int) -> int:
        return await self._feeds.new_post_count(
            viewer, min_graph_version=min_graph_version
        )


class ColdMeters:
    """ColdWatch for Prometheus."""

    def __init__(self, *, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(
            "feedmesh_feed_rebuild_seconds",
            "Time to pull a feed, or a part of it, from graph and posts.",
            ("kind", "outcome"),
        )

    def took(self, kind: str, seconds: float, *, is_done: bool) -> None:
        outcome = "done" if is_done else "failed"
        self._seconds.labels(kind, outcome).observe(seconds)


class TierMeters:
    """How many readers are hot, warm and cold."""

    def __init__(self, *, readers: Readers, metrics: Metrics) -> None:
        self._readers = readers
        self._tiers = metrics.gauge(
            "feedmesh_readers",
            "Readers by tier: hot read within a day, warm by the index, cold rebuilt.",
            ("tier",),
        )

    async def run(self) -> None:
        """Background work of the worker role. Ends only when cancelled."""
        while True:
            await self.count()
            await asyncio.sleep(TIER_SECONDS)

    async def count(self) -> None:
        """Once; what cannot be counted stays as it was."""
        try:
            tiers = await self._readers.tiers()
        except MeshError:
            return
        for tier, count in tiers.items():
            self._tiers.labels(tier).set(count)
