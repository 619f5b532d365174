"""Twins of the stores of svc_feed: they pass the contract suites of their ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from chassis.clock import Clock
from chassis.errors import Unavailable
from chassis.ids import time_of

from svc_feed.model import (
    ABOVE_ALL,
    BELOW_ALL,
    IDLE_MARGIN,
    Entry,
    Hot,
    Order,
    PostId,
    ReaderState,
    UserId,
)


def down() -> Unavailable:
    return Unavailable("DEPENDENCY_UNAVAILABLE", "it is down in this test")


class MemoryFeedIndex:
    """FeedIndex in memory."""

    def __init__(
        self, *, passes_over: Callable[[UserId], bool] = lambda _: False
    ) -> None:
        """`passes_over`: for whom nothing is placed."""
        self.is_down = False
        self.reads = 0
        self.passes_over = passes_over
        self._feeds: dict[UserId, dict[PostId, UserId]] = {}

    async def add(self, viewers: Sequence[UserId], entry: Entry) -> int:
        self._check()
        new = 0
        for viewer in viewers:
            if self.passes_over(viewer) and viewer != entry.author_id:
                continue
            new += entry.post_id not in self._feeds.get(viewer, {})
            await self.fill(viewer, [entry])
        return new

    async def add_all(
        self, viewers: Sequence[UserId], entries: Sequence[Entry]
    ) -> None:
        for entry in entries:
            await self.add(viewers, entry)

    async def fill(self, viewer: UserId, entries: Sequence[Entry]) -> None:
        self._check()
        for post_id, author_id in entries:
            self._feeds.setdefault(viewer, {}).setdefault(post_id, author_id)

    async def newest(
        self, viewer: UserId, *, limit: int, before: PostId = ABOVE_ALL
    ) -> list[Entry]:
        self._check()
        self.reads += 1
        feed = self._feeds.get(viewer, {})
        older = sorted((one for one in feed.items() if one[0] < before), reverse=True)
        return [Entry(*one) for one in older[:limit]]

    async def remove_author(
        self,
        viewer: UserId,
        author: UserId,
        *,
        before: PostId = ABOVE_ALL,
        keeping: Sequence[PostId] = (),
    ) -> None:
        self._check()
        self._feeds[viewer] = {
            one: by
            for one, by in self._feeds.get(viewer, {}).items()
            if by != author or one >= before or one in keeping
        }

    async def remove(self, viewer: UserId, posts: Sequence[PostId]) -> None:
        for post in posts:
            await self.remove_post([viewer], post)

    async def remove_post(self, viewers: Sequence[UserId], post: PostId) -> None:
        self._check()
        for viewer in viewers:
            self._feeds.get(viewer, {}).pop(post, None)

    async def erase(self, user: UserId) -> None:
        self._check()
        self._feeds.pop(user, None)
        for viewer in self._feeds:
            await self.remove_author(viewer, user)

    def _check(self) -> None:
        if self.is_down:
            raise down()


@dataclass
class _Stored:
    floor: PostId = BELOW_ALL
    build: str = ""
    lasting: timedelta | None = None
    entries: list[Entry] = field(default_factory=list)


class MemoryHotFeeds:
    """HotFeeds in memory."""

    def __init__(self, *, window: int) -> None:
        self.is_down = False
        self._window = window
        self._feeds: dict[UserId, _Stored] = {}
        self._builds = 0

    async def append(self, viewers: Sequence[UserId], entry: Entry) -> None:
        self._check()
        for viewer in viewers:
            if feed := self._feeds.get(viewer):
                feed.entries.append(entry)
                if len(feed.entries) > 2 * self._window:
                    cut = feed.entries[: -self._window]
                    feed.floor = max(feed.floor, *(one.post_id for one in cut))
                    del feed.entries[: -self._window]

    async def begin(self, viewer: UserId) -> str | None:
        self._check()
        if viewer in self._feeds:
            return None
        self._builds += 1
        self._feeds[viewer] = _Stored(build=str(self._builds))
        return str(self._builds)

    async def finish(
        self,
        viewer: UserId,
        build: str,
        hot: Hot,
        *,
        lasting: timedelta | None = None,
    ) -> None:
        self._check()
        feed = self._feeds.get(viewer)
        if feed is None or feed.build != build:
            return
        feed.build = ""
        feed.lasting = lasting
        feed.entries[:0] = reversed(hot.entries)
        feed.floor = max(feed.floor, hot.floor)

    def lasting(self, viewer: UserId) -> timedelta | None:
        """How long a feed is kept, where that is not the usual time."""
        return self._feeds[viewer].lasting

    async def forget(self, viewers: Sequence[UserId]) -> None:
        self._check()
        for viewer in viewers:
            self._feeds.pop(viewer, None)

    def lose_all(self) -> None:
        """A restart without data."""
        self._feeds.clear()

    async def look(self, viewer: UserId) -> Hot | None:
        self._check()
        feed = self._feeds.get(viewer)
        if feed is None or feed.build:
            return None
        kept = {one for one in feed.entries if one.post_id > feed.floor}
        return Hot(sorted(kept, reverse=True), feed.floor)

    def _check(self) -> None:
        if self.is_down:
            raise down()


class MemoryReaders:
    """Readers in memory."""

    def __init__(self, *, clock: Clock, hot_ttl: timedelta, idle_after: timedelta):
        self.is_down = False
        self.touches = 0
        self.asked = 0
        self._clock = clock
        self._hot_ttl = hot_ttl
        self._idle_after = idle_after
        self._states: dict[UserId, ReaderState] = {}

    async def touch(self, viewer: UserId) -> ReaderState:
        self._check()
        self.touches += 1
        state = self._states.get(viewer, ReaderState())
        is_whole = state.is_whole and not self.is_idle(viewer, state)
        self._states[viewer] = ReaderState(self._clock.now(), state.pulls, is_whole)
        return replace(state, is_whole=is_whole)

    async def state(self, viewer: UserId) -> ReaderState:
        self._check()
        self.asked += 1
        return self._states.get(viewer, ReaderState())

    def is_idle(self, viewer: UserId, state: ReaderState) -> bool:
        last = state.last_read or time_of(viewer)
        return last < self._clock.now() - self._idle_after

    async def set_pulls(self, viewer: UserId, pulls: bool) -> None:
        self._check()
        state = self._states.get(viewer, ReaderState())
        self._states[viewer] = replace(state, pulls=pulls)

    async def set_whole(self, viewer: UserId, is_whole: bool) -> None:
        self._check()
        state = self._states.get(viewer, ReaderState())
        self._states[viewer] = replace(state, is_whole=is_whole)

    async def forget(self, viewer: UserId) -> None:
        self._check()
        self._states.pop(viewer, None)

    async def next_after(self, viewer: UserId) -> UserId | None:
        self._check()
        return min((one for one in self._states if one > viewer), default=None)

    async def tiers(self) -> Mapping[str, int]:
        self._check()
        now = self._clock.now()
        found = {"hot": 0, "warm": 0, "cold": 0}
        for viewer, state in self._states.items():
            last = state.last_read or time_of(viewer)
            if self.is_idle(viewer, state):
                found["cold"] += 1
            else:
                found["hot" if last >= now - self._hot_ttl else "warm"] += 1
        return found

    def passes_over(self, viewer: UserId) -> bool:
        """Whether fan-out does, IDLE_MARGIN later than reads."""
        state = self._states.get(viewer, ReaderState())
        last = state.last_read or time_of(viewer)
        since = self._clock.now() - self._idle_after - IDLE_MARGIN
        return state.pulls or last < since

    def _check(self) -> None:
        if self.is_down:
            raise down()


class MemoryNotes:
    """Notes in memory, written at once."""

    def __init__(self, *, clock: Clock, last_kept: timedelta) -> None:
        self.tops: dict[UserId, PostId] = {}
        self.writes = 0
        self._clock = clock
        self._last_kept = last_kept.total_seconds()
        self._last: dict[tuple[UserId, Order], tuple[float, bytes]] = {}

    def note_top(self, viewer: UserId, top: PostId) -> None:
        self.writes += 1
        self.tops[viewer] = top

    def note_last(self, viewer: UserId, order: Order, page: bytes) -> None:
        self._last[viewer, order] = (self._clock.monotonic(), page)

    async def forget(self, viewer: UserId) -> None:
        self.tops.pop(viewer, None)
        for order in Order:
            self._last.pop((viewer, order), None)

    def last(self, viewer: UserId, order: Order) -> bytes | None:
        noted_at, page = self._last.get((viewer, order), (float("-inf"), b""))
        return page if self._clock.monotonic() - noted_at < self._last_kept else None
