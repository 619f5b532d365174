"""What operators do to feeds. Whatever changes one leaves a row in the audit trail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.errors import MeshError

from .audit import FeedAudit
from .model import Audited, UserId
from .ports import Trail
from .rebuild import FeedRebuild, Rebuilt


class FeedUpkeep:
    """Audits and rebuilds on demand."""

    def __init__(self, *, audit: FeedAudit, rebuild: FeedRebuild, trail: Trail) -> None:
        self._audit = audit
        self._rebuild = rebuild
        self._trail = trail

    async def audit(self, viewer: UserId, *, repair: bool, who: str) -> Audited:
        """What differs in the reader's index, repaired if asked. Raises Unavailable."""
        found = await self._audit.audit(viewer)
        if not repair or not found.drift:
            return found
        async with self._traced(viewer, what="feed.repair", who=who):
            return await self._audit.repair(viewer, found)

    async def rebuild(self, viewer: UserId, *, who: str) -> Rebuilt:
        """The reader's index made anew. Raises Unavailable."""
        async with self._traced(viewer, what="feed.rebuild", who=who):
            return await self._rebuild.rebuild(viewer)

    @asynccontextmanager
    async def _traced(
        self, viewer: UserId, *, what: str, who: str
    ) -> AsyncIterator[None]:
        """One row for the block, however it ends."""
        target = str(viewer)
        try:
            yield
        except MeshError as error:
            await self._trail.record(
                who=who, what=what, target=target, outcome=error.reason
            )
            raise
        await self._trail.record(who=who, what=what, target=target, outcome="OK")
