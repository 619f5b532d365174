"""What lies beyond the edge of the index: older posts, which no feed shows.

A feed that ends says why: nothing older is there, or it is archived. That is asked at
the end of a feed alone, and not at all of readers whose account is younger than the
edge: they can follow nobody for longer.
"""

from __future__ import annotations

from datetime import timedelta

from chassis import ids
from chassis.clock import Clock
from chassis.errors import MeshError

from .model import BACKFILL_AGE, UserId
from .pull import FeedPull

# Archives do not change from one page to the next.
KEPT = timedelta(minutes=10)
MOST_KEPT = 10_000


class Archive:
    """Tells whether a feed goes on beyond the edge."""

    def __init__(self, *, pull: FeedPull, clock: Clock) -> None:
        self._pull = pull
        self._clock = clock
        self._kept: dict[UserId, tuple[float, bool]] = {}

    async def holds_more(self, viewer: UserId) -> bool:
        """Whether posts older than the edge belong into the viewer's feed.

        True when that cannot be told: a feed that is called complete has to be.
        """
        if ids.time_of(viewer) - BACKFILL_AGE > ids.time_of(self._pull.edge()):
            return False
        now = self._clock.monotonic()
        asked_at, answer = self._kept.get(viewer, (0.0, False))
        if viewer in self._kept and now - asked_at < KEPT.total_seconds():
            return answer
        try:
            answer = await self._pull.is_beyond_edge(viewer)
        except MeshError:
            return True
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[viewer] = (now, answer)
        return answer
