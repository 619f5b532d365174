"""Counts of follows, counted anew."""

from .auditing import audited
from .model import Checked, Drift, UserId
from .ports import AuditTrail, Counters

STEP = 100
"""People counted by one statement, and locked at once where counts are repaired."""


class Reconciliation:
    """Compares the counts of people with their follows, and puts them right."""

    def __init__(self, *, counters: Counters, trail: AuditTrail) -> None:
        self._counters = counters
        self._trail = trail

    async def check(self, *, after: UserId, size: int) -> Checked:
        """Up to `size` people in the order of their ids; changes nothing."""
        return await self._walk(after, size, repairer=None)

    async def repair(self, *, after: UserId, size: int, who: str) -> Checked:
        """The same, storing what was counted. `who` is written into the trail."""
        async with audited(self._trail, who=who, what="counters.repair", target=after):
            return await self._walk(after, size, repairer=who)

    async def _walk(self, after: UserId, size: int, *, repairer: str | None) -> Checked:
        count, drifts = 0, list[Drift]()
        while count < size:
            limit = min(STEP, size - count)
            step = await self._counters.check(after=after, limit=limit)
            found = step.drifts
            if found and repairer is not None:
                # Counted again under locks: what is told is what was put right.
                users = sorted({drift.user_id for drift in found})
                found = await self._counters.repair(users, who=repairer)
            count += step.count
            drifts += found
            after = step.last
            if step.count < limit:
                break
        return Checked(count, after, drifts)
