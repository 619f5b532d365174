"""What celebrities publish, placed in the logs of the followers held here.

Heard when it is announced, or found by looking: announcements may be lost. Each is
filtered by the graph as it is then.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from chassis.clock import Clock
from chassis.errors import MeshError

from domain.visibility import Visibility

from .delivery import Delivery, audience
from .followers import LocalFollowers
from .missed import RecentPosts, id_floor
from .model import Change, Kind, PostId, UserId, added, from_ms, removed, to_ms
from .ports import Graph

log = structlog.get_logger()

# Every so many looks for missed posts, one goes back far enough to see deletions.
DEEP_EVERY = 4


@dataclass(frozen=True)
class Pace:
    """How often things are looked at again."""

    check: timedelta
    """Between two looks for announcements that were lost."""

    refresh: timedelta
    """How long it is remembered whom a reader follows."""

    overlap: timedelta
    """How much earlier than the last look the next one begins."""

    retention: timedelta
    """How long a post is remembered, to notice that it is gone."""


class Announcements:
    """Places what celebrities publish."""

    def __init__(
        self,
        *,
        graph: Graph,
        recent: RecentPosts,
        followers: LocalFollowers,
        delivery: Delivery,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._graph = graph
        self._recent = recent
        self._followers = followers
        self._delivery = delivery
        self._clock = clock
        self._pace = pace
        # Posts placed lately, by author, to tell what is new and what is gone.
        self._placed: defaultdict[UserId, set[PostId]] = defaultdict(set)
        self._checked_ms: int | None = None
        self._checks = 0

    @property
    def checked_ms(self) -> int | None:
        """Up to when nothing was missed, in Unix ms; None before the first look."""
        return self._checked_ms

    def remember(self, posts: Mapping[PostId, UserId]) -> None:
        """A log held here holds these posts of celebrities."""
        for post, author in posts.items():
            self._placed[author].add(post)

    async def heard(self, change: Change, visibility: int) -> None:
        """An announcement came in."""
        try:
            await self._spread(change, visibility)
        except MeshError as error:
            # The next look makes it good.
            log.warning("announcements.spread_failed", error=str(error))

    async def gone(self, change: Change) -> None:
        """An author deleted their account; tells the readers held here."""
        try:
            viewers = self._followers.of_anybody(change.author_id)
            await self._delivery.place(viewers, change)
        except MeshError as error:
            # The next look at whom each of them follows makes it good.
            log.warning("announcements.gone_failed", error=str(error))

    async def check(self) -> None:
        """Places what was announced and not heard since the last look."""
        started = self._clock.now()
        self._checks += 1
        oldest = id_floor(started - self._pace.retention)
        self._forget(oldest)
        checked = to_ms(started) if self._checked_ms is None else self._checked_ms
        since = id_floor(from_ms(checked) - self._pace.overlap)
        after = oldest if self._checks % DEEP_EVERY == 0 else since
        try:
            found, floor = await self._recent.since(self._followers.authors(), after)
            fresh = [
                post
                for post, author in found.items()
                if post > since and post not in self._placed[author]
            ]
            for record in await self._recent.records(fresh):
                change = added(record.post_id, record.author_id, record.version)
                await self._spread(change, record.visibility)
            for change in self._gone(found, floor):
                await self._spread(change, Visibility.UNSPECIFIED)
        except MeshError as error:
            log.warning("announcements.check_failed", error=str(error))
        else:
            self._checked_ms = to_ms(started)

    async def _spread(self, change: Change, visibility: int) -> None:
        """Places a change in the logs of the followers held here."""
        if visibility == Visibility.PRIVATE:
            return
        viewers = self._followers.of(change.author_id)
        listeners = await audience(self._graph, change.author_id, viewers, visibility)
        await self._delivery.place(listeners, change)
        posts = self._placed[change.author_id]
        if change.kind is Kind.POST_ADDED:
            posts.add(change.post_id)
        else:
            posts.discard(change.post_id)

    def _forget(self, oldest: PostId) -> None:
        """Drops posts that are too old, or of authors who do not matter any more."""
        for author in tuple(self._placed):
            kept = {post for post in self._placed[author] if post > oldest}
            if kept and author in self._followers.authors():
                self._placed[author] = kept
            else:
                del self._placed[author]

    def _gone(self, found: Iterable[PostId], floor: PostId) -> list[Change]:
        """Posts that were placed and are not there any more."""
        there = set(found)
        now = self._clock.now()
        return [
            removed(post, author, now)
            for author, posts in self._placed.items()
            for post in posts
            if post > floor and post not in there
        ]
