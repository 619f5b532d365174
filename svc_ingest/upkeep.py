"""What is made good and thrown away in the background."""

import asyncio
from datetime import timedelta

import structlog

from chassis.clock import Clock
from chassis.errors import MeshError

from .model import NOBODY, PostId
from .ports import HotPosts, StoredPosts, Tombstones

PRUNE_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class Copies:
    """Makes copies of changed posts current that their change did not reach."""

    def __init__(self, *, stored: StoredPosts, hot: HotPosts) -> None:
        self._stored = stored
        self._hot = hot

    async def deleted(self, post_id: PostId, version: int) -> None:
        """Raises when the copies cannot be told; the event comes again then.

        A post that is there is left alone, whatever an event says.
        """
        if post_id not in await self._stored.facts([post_id]):
            await self._hot.settle_delete(post_id, version)

    async def edited(self, post_id: PostId) -> None:
        """As deleted. A post that is gone by now is left to its own event."""
        record = (await self._stored.find([post_id], viewer=NOBODY)).get(post_id)
        if record is not None:
            await self._hot.settle_change(record.post)


class Upkeep:
    """Throws away what only a late second delete would ask for."""

    def __init__(self, *, tombstones: Tombstones, clock: Clock, ttl: timedelta) -> None:
        self._tombstones = tombstones
        self._clock = clock
        self._ttl = ttl

    async def run(self) -> None:
        """Background loop of the worker role; never ends."""
        while True:
            try:
                await self.prune()
            except MeshError as error:
                log.warning("upkeep_failed", error=str(error))
            await asyncio.sleep(PRUNE_SECONDS)

    async def prune(self) -> None:
        """Forgets deletes that are longer ago than they are kept."""
        await self._tombstones.forget(self._clock.now() - self._ttl)
