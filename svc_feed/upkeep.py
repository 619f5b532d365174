"""What operators do to feeds. Whatever changes one leaves a row in the audit trail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.errors import MeshError, NotFound

from domain.visibility import UserState

from .audit import FeedAudit
from .model import Audited, UserId
from .ports import Graph, Trail
from .rebuild import FeedRebuild, Rebuilt

# Who looks at a reader, when it does not matter.
NOBODY = UserId(0)


class FeedUpkeep:
    """Audits and rebuilds on demand."""

    def __init__(
        self, *, graph: Graph, audit: FeedAudit, rebuild: FeedRebuild, trail: Trail
    ) -> None:
        self._graph = graph
        self._audit = audit
        self._rebuild = rebuild
        self._trail = trail

    async def audit(self, viewer: UserId, *, repair: bool, who: str) -> Audited:
        """What differs in the reader's index, repaired if asked.

        Raises NotFound USER_NOT_FOUND, Unavailable.
        """
        await self._find(viewer)
        found = await self._audit.audit(viewer)
        if not repair or not found.drift:
            return found
        async with self._traced(viewer, what="feed.repair", who=who):
            return await self._audit.repair(viewer, found)

    async def rebuild(self, viewer: UserId, *, who: str) -> Rebuilt:
        """The reader's index made anew. Raises NotFound USER_NOT_FOUND, Unavailable."""
        await self._find(viewer)
        async with self._traced(viewer, what="feed.rebuild", who=who):
            return await self._rebuild.rebuild(viewer)

    async def _find(self, viewer: UserId) -> None:
        relations = await self._graph.relations(NOBODY, [viewer])
        if relations[viewer].state == UserState.DELETED:
            raise NotFound("USER_NOT_FOUND")

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
