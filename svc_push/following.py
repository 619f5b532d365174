"""Whom one reader follows, looked at anew: what was not heard of is made good."""

from collections.abc import Sequence
from dataclasses import replace

from chassis.clock import Clock

from .delivery import TIES, Delivery
from .departures import is_in_feed
from .model import Followee, Kind, Logged, UserId, author_removed, author_returned
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
        unsure = (before - now).union(left)
        # Of the others too: a mute may be older than the log.
        people = sorted(unsure | now)
        for start in range(0, len(people), TIES):
            batch = people[start : start + TIES]
            relations = await self._graph.relations(viewer, batch)
            for author in batch:
                is_there = is_in_feed(relations.of[author])
                if author in unsure or not is_there:
                    # The log leaves out what it says already.
                    await self._tell(viewer, author, relations.version, is_there)
        return followees

    async def judged(
        self, viewer: UserId, logged: Sequence[Logged]
    ) -> Sequence[Logged]:
        """The same changes as they may be told now: what a log says of an author who
        left since is told as removed, at its place, so that positions have no gap.

        Raises a MeshError when the graph does not answer.
        """
        authors = {
            one.change.author_id
            for one in logged
            if one.change.kind is Kind.POST_ADDED and one.change.author_id != viewer
        }
        hidden: set[UserId] = set()
        batches = sorted(authors)
        for start in range(0, len(batches), TIES):
            batch = batches[start : start + TIES]
            relations = await self._graph.relations(viewer, batch)
            hidden.update(a for a in batch if not is_in_feed(relations.of[a]))
        return [
            _withheld(one) if one.change.author_id in hidden else one for one in logged
        ]

    async def _tell(
        self, viewer: UserId, author: UserId, version: int, is_there: bool
    ) -> None:
        made = author_returned if is_there else author_removed
        change = made(author, self._clock.now(), version, was_noticed=True)
        await self._delivery.place([viewer], change)


def _withheld(logged: Logged) -> Logged:
    change = logged.change
    if change.kind is not Kind.POST_ADDED:
        return logged
    return replace(logged, change=replace(change, kind=Kind.POST_REMOVED))
