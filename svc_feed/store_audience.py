"""For whom posts are placed: not for readers who pull, nor for those who are idle.

Asked apart from the statement that places, and of nearly nobody: who was seen to read
is taken for a reader for a while. To place a post with somebody who need not have it
does no harm. To pass over somebody who has just come back would, so that is never
remembered. A reader who comes back after the question finds the post all the same:
it was stored before it was fanned out, and their rebuild reads what is stored.
"""

from __future__ import annotations

from datetime import timedelta

from chassis import ids
from chassis.clock import Clock
from chassis.postgres import Pool

from .model import IDLE_MARGIN, UserId

STANDING = """
SELECT viewer_id, NOT pulls AND last_read_at >= $2 FROM feed_reader
WHERE viewer_id = ANY($1::bigint[])
"""


class Audience:
    """Tells for whom of many viewers posts are placed."""

    def __init__(
        self, *, clock: Clock, idle_after: timedelta, near: timedelta, most_near: int
    ) -> None:
        """`near`: how long a reader is taken for one without being asked about."""
        self._clock = clock
        self._idle_after = idle_after + IDLE_MARGIN
        self._near = near.total_seconds()
        self._most_near = most_near
        self._known: set[UserId] = set()
        self._emptied_at = clock.monotonic()

    async def of(
        self, pool: Pool, viewers: list[UserId], author: UserId
    ) -> list[UserId]:
        """Those of the viewers, in their order; the author always."""
        known = self._kept()
        if known.issuperset(viewers):
            return viewers
        asked = [viewer for viewer in viewers if viewer not in known]
        since = self._clock.now() - self._idle_after
        rows = await pool.fetch(STANDING, asked, since)
        standing: dict[UserId, bool] = {row[0]: row[1] for row in rows}
        # Of whom nothing is kept, the account itself tells when they came last.
        made_since = ids.floor_of(since)
        reading = {
            viewer for viewer in asked if standing.get(viewer, viewer >= made_since)
        }
        known |= reading
        return [viewer for viewer in viewers if viewer in known or viewer == author]

    def _kept(self) -> set[UserId]:
        now = self._clock.monotonic()
        is_old = now - self._emptied_at >= self._near
        if is_old or len(self._known) > self._most_near:
            self._known = set()
            self._emptied_at = now
        return self._known
