"""Counts of all posts against the rows they count, for operators."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from .model import Compared, Drift, PostId
from .ports import HotPosts, Tallies

STEP = 100
"""Posts counted by one statement, and locked at once where counts are repaired."""


class Reconciliation:
    """Finds counts that are not what their rows say, and puts them right."""

    def __init__(self, *, tallies: Tallies, hot: HotPosts, grace: timedelta) -> None:
        """grace: how long a count may trail its rows, as the counters are behind."""
        self._tallies = tallies
        self._hot = hot
        self._grace = grace

    async def check(self, *, after: PostId, size: int) -> Compared:
        """Up to `size` posts in the order of their ids; changes nothing.

        What differs is looked at twice: a count of which the event is under way is
        no drift.
        """
        found = await self._walk(after, size, is_repairing=False)
        if not found.drifts:
            return found
        await asyncio.sleep(self._grace.total_seconds())
        first = {(drift.post_id, drift.counter): drift for drift in found.drifts}
        again = await self._tallies.compare_these([post_id for post_id, _ in first])
        # One whose stored count moved is being counted at this moment.
        standing = [
            drift
            for drift in again
            if (earlier := first.get((drift.post_id, drift.counter)))
            and earlier.stored == drift.stored
        ]
        return Compared(found.count, found.last, standing)

    async def repair(self, *, after: PostId, size: int) -> Compared:
        """The same, storing what was counted; tells what that changed."""
        return await self._walk(after, size, is_repairing=True)

    async def _walk(self, after: PostId, size: int, *, is_repairing: bool) -> Compared:
        count, drifts = 0, list[Drift]()
        while count < size:
            limit = min(STEP, size - count)
            step = await self._tallies.compare(after=after, limit=limit)
            found = step.drifts
            if found and is_repairing:
                found = await self._repaired(found)
            count += step.count
            drifts += found
            after = step.last
            if step.count < limit:
                break
        return Compared(count, after, drifts)

    async def _repaired(self, found: Sequence[Drift]) -> list[Drift]:
        # Counted again under locks: what is told is what was put right.
        posts = sorted({drift.post_id for drift in found})
        drifts, stats = await self._tallies.repair(posts)
        await self._hot.counted(stats)
        return drifts
