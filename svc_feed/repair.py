"""Read repair: an index that is read is looked after.

When a reader's hot feed is built, and when they ask for the newest state, posts of the
last day are compared with graph and posts in the background, and what is missing is
placed. A few at a time and each reader seldom: what there is no room for is left to
the next read. It also sees to it that who follows too many pulls, however the follows
came about.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from chassis import ids
from chassis.clock import Clock
from chassis.errors import MeshError

from .audit import FeedAudit
from .follow_changes import FollowChanges
from .model import BACKFILL_AGE, Audited, Entry, PostId, UserId
from .ports import AuditWatch, HotFeeds

log = structlog.get_logger(__name__)

# Readers that wait to be looked after, and that are remembered as looked after.
MOST_WAITING = 100
MOST_KNOWN = 10_000


class FeedRepair:
    """Repairs over audits of the last day."""

    def __init__(
        self,
        *,
        audit: FeedAudit,
        hot_feeds: HotFeeds,
        follows: FollowChanges,
        watch: AuditWatch,
        clock: Clock,
        at_once: int,
        every: timedelta,
    ) -> None:
        """`at_once`: readers looked after at the same time; 0: nobody is.

        `every`: how often one reader is.
        """
        self._audit = audit
        self._hot_feeds = hot_feeds
        self._follows = follows
        self._watch = watch
        self._clock = clock
        self._at_once = at_once
        self._every = every.total_seconds()
        self._waiting: asyncio.Queue[UserId] = asyncio.Queue(MOST_WAITING)
        self._seen: dict[UserId, float] = {}

    @property
    def waiting(self) -> int:
        """How many readers wait to be looked after."""
        return self._waiting.qsize()

    def notice(self, viewer: UserId) -> None:
        """A feed was read. Never raises, never waits."""
        now = self._clock.monotonic()
        seen = self._seen.get(viewer)
        if not self._at_once or (seen is not None and now - seen < self._every):
            return
        if self._waiting.full():
            return
        if len(self._seen) >= MOST_KNOWN:
            self._seen.clear()
        self._seen[viewer] = now
        self._waiting.put_nowait(viewer)

    async def run(self) -> None:
        """Background work of whoever serves pages. Ends only when cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._at_once):
                group.create_task(self._look_after_all())

    async def _look_after_all(self) -> None:
        while True:
            await self.look_after(await self._waiting.get())

    async def look_after(self, viewer: UserId) -> None:
        """Once, for one reader. What fails is left to the next read."""
        since = ids.floor_of(self._clock.now() - BACKFILL_AGE)
        try:
            await self._follows.choose(viewer)
            found = await self._audit.audit(viewer, since=PostId(since))
            missed = await self._missed(viewer, found)
            if missed:
                # Of extra posts the sampler takes care: nobody sees them.
                await self._audit.repair(viewer, Audited(missing=missed))
                self._watch.repaired(len(missed))
        except MeshError as error:
            log.info("repair_put_off", reader=viewer, error=str(error))

    async def _missed(self, viewer: UserId, found: Audited) -> list[Entry]:
        """What the index lacks, and what it has and the hot feed lacks."""
        missed = set(found.missing)
        hot = await self._hot_feeds.look(viewer)
        if hot is not None:
            held = set(hot.entries)
            missed |= {
                one for one in found.due if one.post_id > hot.floor and one not in held
            }
        return sorted(missed, reverse=True)
