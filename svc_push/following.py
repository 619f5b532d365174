"""Whom one reader follows, looked at anew: what was not heard of is made good."""

from chassis.clock import Clock

from .delivery import TIES, Delivery
from .departures import is_in_feed
from .model import Followee, UserId, author_removed, author_returned
from .ports import Graph, ReaderLogs


class Following:
    """Learns whom readers follow, and tells them who left and who is back.

    What is seen this way and was told by no event: an author who deleted their account
    while the reader was away, and a mute that ran out.
    """

    def __init__(
        self, *, graph: Graph, logs: ReaderLogs, delivery: Delivery, clock: Clock
    ) -> None:
        self._graph = graph
        self._logs = logs
        self._delivery = delivery
        self._clock = clock

    async def look(self, viewer: UserId) -> list[Followee]:
        """Whom the viewer follows now. Safe to repeat."""
        followees = [
            one async for page in self._graph.following(viewer) for one in page
        ]
        now = {followee.author_id for followee in followees}
        before = await self._logs.note_followed(viewer, now)
        left = await self._logs.removed(viewer)
        # Read at several moments: what differs is asked for once more.
        unsure = sorted((before - now).union(left))
        for start in range(0, len(unsure), TIES):
            batch = unsure[start : start + TIES]
            relations = await self._graph.relations(viewer, batch)
            for author in batch:
                # The log leaves out what it says already.
                is_there = is_in_feed(relations.of[author])
                await self._tell(viewer, author, relations.version, is_there)
        return followees

    async def _tell(
        self, viewer: UserId, author: UserId, version: int, is_there: bool
    ) -> None:
        made = author_returned if is_there else author_removed
        change = made(author, self._clock.now(), version, was_noticed=True)
        await self._delivery.place([viewer], change)
