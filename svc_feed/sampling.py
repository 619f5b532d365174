"""The sampler: audits a few readers a minute, whoever they are, and tells the drift.

What it finds it looks at again some seconds later: what was on its way by then is no
drift.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import structlog

from chassis import ids
from chassis.clock import Clock
from chassis.errors import MeshError

from .audit import FeedAudit
from .model import Audited, UserId
from .ports import AuditWatch, Readers

log = structlog.get_logger(__name__)

# Between the two looks.
AGAIN_SECONDS = 5.0
MINUTE = 60.0


class FeedSampler:
    """Audits readers taken at random."""

    def __init__(
        self,
        *,
        audit: FeedAudit,
        readers: Readers,
        watch: AuditWatch,
        clock: Clock,
        per_minute: float,
        repairs: bool,
    ) -> None:
        """`per_minute`: readers; 0: nobody is audited."""
        self._audit = audit
        self._readers = readers
        self._watch = watch
        self._clock = clock
        self._per_minute = per_minute
        self._repairs = repairs

    async def run(self) -> None:
        """Background work of the worker role. Ends only when cancelled."""
        while True:
            wait = MINUTE / self._per_minute if self._per_minute else MINUTE
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))
            if self._per_minute:
                await self.sample()

    async def sample(self, *, again_after: float = AGAIN_SECONDS) -> Audited | None:
        """Audits one reader; None: there is none, or something does not answer."""
        try:
            viewer = await self._somebody()
            if viewer is None:
                return None
            found = await self._audit.audit(viewer)
            if found.drift:
                await asyncio.sleep(again_after)
                found = _still(found, await self._audit.audit(viewer))
            if found.drift and self._repairs:
                found = await self._audit.repair(viewer, found)
        except MeshError as error:
            log.info("audit_put_off", error=str(error))
            return None
        self._watch.audited(found)
        if found.drift:
            log.warning(
                "feed_drift",
                reader=viewer,
                missing=[entry.post_id for entry in found.missing[:10]],
                extra=[entry.post_id for entry in found.extra[:10]],
                is_repaired=found.is_repaired,
            )
        return found

    async def _somebody(self) -> UserId | None:
        """Whoever follows a random id, and after the last the first."""
        newest = ids.floor_of(self._clock.now())
        found = await self._readers.next_after(UserId(random.randrange(newest)))
        return found or await self._readers.next_after(UserId(0))


def _still(before: Audited, now: Audited) -> Audited:
    """What both found."""
    return replace(
        now,
        missing=[one for one in now.missing if one in before.drift],
        extra=[one for one in now.extra if one in before.drift],
    )
