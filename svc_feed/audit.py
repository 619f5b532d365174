"""Whether an index holds what graph and posts say it should, and making it so.

What is compared is what fan-out answers for: readers for whom nothing is placed have
no index that could be wrong, and a post that came in just now is nobody's fault yet.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from chassis import ids
from chassis.clock import Clock

from domain.visibility import Visibility

from .follow_changes import FollowChanges
from .model import Audited, Entry, PostId, UserId
from .ports import FeedIndex, Graph, HotFeeds, PostRecords, Readers
from .pull import FeedPull

NOBODY = UserId(0)

STRETCH = 1_000
# Entries of an index that one audit looks at.
MOST_HELD = 20_000
# Differences of one kind that are told, and repaired, at once.
MOST_TOLD = 1_000


class FeedAudit:
    """Compares indexes with graph and posts."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        readers: Readers,
        pull: FeedPull,
        graph: Graph,
        records: PostRecords,
        follows: FollowChanges,
        clock: Clock,
        settle: timedelta,
    ) -> None:
        """`settle`: how long fan-out may take before a post counts as missing."""
        self._index = index
        self._hot_feeds = hot_feeds
        self._readers = readers
        self._pull = pull
        self._graph = graph
        self._records = records
        self._follows = follows
        self._clock = clock
        self._settle = settle

    async def audit(self, viewer: UserId, *, since: PostId | None = None) -> Audited:
        """How the index differs above `since`, else as far as feeds reach.

        Raises Unavailable.
        """
        state = await self._readers.state(viewer)
        if state.pulls or not state.is_whole or self._readers.is_idle(viewer, state):
            return Audited()
        settled = PostId(ids.floor_of(self._clock.now() - self._settle))
        low = PostId(max(since or 0, self._pull.edge() - 1))
        expected = await self._pull.expected(viewer, since=low)
        known = sorted((*expected.entries, *expected.optional), reverse=True)
        if not expected.is_complete:
            low = known[-1].post_id
        held, reached = await self._held(viewer, low)
        missing = _between(set(expected.entries) - held, reached, settled)
        extra = _between(held - set(known), reached, settled)
        return await self._confirmed(
            viewer,
            Audited(
                checked=len(held.union(known)),
                missing=missing[:MOST_TOLD],
                extra=extra[:MOST_TOLD],
                due=_between(held.intersection(expected.entries), reached, settled),
                is_partial=not expected.is_complete or reached > low,
            ),
        )

    async def repair(self, viewer: UserId, found: Audited) -> Audited:
        """Makes the index what it should be. Raises Unavailable."""
        if found.missing:
            await self._index.fill(viewer, found.missing)
        ids_of_extra = [entry.post_id for entry in found.extra]
        left = await self._records.records(ids_of_extra, viewer=NOBODY)
        if gone := [post_id for post_id in ids_of_extra if post_id not in left]:
            await self._index.remove(viewer, gone)
        for author in {e.author_id for e in found.extra if e.post_id in left}:
            # As when the event of the unfollow comes, which minds a follow of now.
            await self._follows.unfollow(viewer, author, at=self._clock.now())
        if found.drift:
            await self._hot_feeds.forget([viewer])
        return replace(found, is_repaired=bool(found.drift))

    async def _held(self, viewer: UserId, low: PostId) -> tuple[set[Entry], PostId]:
        """What the index holds above `low`, and how far down was looked."""
        held: set[Entry] = set()
        page = await self._index.newest(viewer, limit=STRETCH)
        while True:
            held.update(entry for entry in page if entry.post_id > low)
            if len(page) < STRETCH or page[-1].post_id <= low:
                return held, low
            if len(held) >= MOST_HELD:
                return held, page[-1].post_id
            page = await self._index.newest(
                viewer, limit=STRETCH, before=page[-1].post_id
            )

    async def _confirmed(self, viewer: UserId, found: Audited) -> Audited:
        """What is left when the posts and edges in question are asked themselves.

        Missing is a post that others may see, of somebody followed now. Extra is a
        post that is gone, or of somebody not followed; one that is older than its
        follow does no harm.
        """
        asked = [*found.missing, *found.extra]
        if not asked:
            return found
        authors = {entry.author_id for entry in asked} - {viewer}
        relations = await self._graph.relations(viewer, list(authors))
        records = await self._records.records(
            [entry.post_id for entry in asked], viewer=NOBODY
        )

        def is_wanted(entry: Entry) -> bool:
            if entry.post_id not in records:
                return False
            if entry.author_id == viewer:
                return True
            facts = records[entry.post_id].post.facts
            return (
                facts.visibility != Visibility.PRIVATE
                and relations[entry.author_id].is_following
            )

        def is_harmless(entry: Entry) -> bool:
            return entry.post_id in records and (
                entry.author_id == viewer or relations[entry.author_id].is_following
            )

        return replace(
            found,
            missing=[entry for entry in found.missing if is_wanted(entry)],
            extra=[entry for entry in found.extra if not is_harmless(entry)],
        )


def _between(entries: set[Entry], low: PostId, high: PostId) -> list[Entry]:
    """Those above the one and below the other, newest first."""
    return sorted((one for one in entries if low < one.post_id < high), reverse=True)
