"""The celebrities whom readers of this process follow, and listening to them.

Their posts are not fanned out: each is announced once, and every process that holds a
follower places it in the logs of those it holds. Who follows whom is remembered here
only to know where to listen.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from chassis.clock import Clock
from chassis.errors import MeshError

from .announcements import Announcements, Pace
from .followers import LocalFollowers
from .following import Following
from .missed import MissedPosts
from .model import Change, Followee, OpenLog, UserId, to_ms
from .ports import LiveHints, ReaderLogs

log = structlog.get_logger()

# Readers whose celebrities are asked for at the same time.
SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class _Reader:
    """What is known of one reader. log says what they are still owed; None nothing."""

    log: OpenLog | None
    # Monotonic time from which on to ask again whom they follow.
    ask_at: float
    # When they were last asked, in Unix milliseconds; 0 for never.
    asked_ms: int = 0


class Celebrities:
    """Listens to the celebrities that readers of this process follow."""

    def __init__(
        self,
        *,
        followers: LocalFollowers,
        following: Following,
        announcements: Announcements,
        missed: MissedPosts,
        logs: ReaderLogs,
        live: LiveHints,
        clock: Clock,
        pace: Pace,
    ) -> None:
        self._following = following
        self._logs = logs
        self._followers = followers
        self._announcements = announcements
        self._missed = missed
        self._live = live
        self._clock = clock
        self._pace = pace
        self._readers: dict[UserId, _Reader] = {}
        self._listening: dict[UserId, AsyncExitStack] = {}
        self._woken = asyncio.Event()

    def join(self, viewer: UserId, opened: OpenLog) -> None:
        """A reader came: listen for them, and make good what they missed."""
        known = self._readers.get(viewer)
        now = self._clock.monotonic()
        if known is None:
            self._readers[viewer] = _Reader(opened, ask_at=now)
            self._followers.put(viewer, ())
        elif known.log is None:
            self._readers[viewer] = replace(known, log=opened, ask_at=now)
        self._woken.set()

    def leave(self, viewer: UserId) -> None:
        """The reader's last stream here is gone."""
        if self._readers.pop(viewer, None) is not None:
            self._followers.drop(viewer)
            self._woken.set()

    def refresh(self, viewer: UserId) -> None:
        """Whom the reader follows changed."""
        reader = self._readers.get(viewer)
        if reader is not None:
            self._readers[viewer] = replace(reader, ask_at=self._clock.monotonic())
            self._woken.set()

    def checked_ms(self, viewer: UserId) -> int | None:
        """Until when the reader's log lacks nothing; None when that is not known."""
        reader = self._readers.get(viewer)
        if reader is None or reader.log is not None:
            return None
        return self._announcements.checked_ms

    async def make_good(self, viewer: UserId, opened: OpenLog) -> None:
        """Places what a reader missed whom this process need not hold."""
        followees = await self._following.look(viewer)
        await self._missed.make_good(viewer, celebrities(followees), opened)

    async def gone(self, change: Change) -> None:
        """An author, celebrity or not, deleted their account."""
        await self._announcements.gone(change)

    async def run(self) -> None:
        """Listens, learns and looks again, until cancelled."""
        next_check = self._clock.monotonic()
        try:
            while True:
                self._woken.clear()
                await self.learn()
                if self._clock.monotonic() >= next_check:
                    await self._announcements.check()
                    next_check = (
                        self._clock.monotonic() + self._pace.check.total_seconds()
                    )
                with suppress(TimeoutError):
                    async with asyncio.timeout(next_check - self._clock.monotonic()):
                        await self._woken.wait()
        finally:
            while self._listening:
                _, stack = self._listening.popitem()
                await stack.aclose()

    async def learn(self) -> None:
        """Asks whom readers follow, where that is due, and listens accordingly."""
        now = self._clock.monotonic()
        due = [
            viewer for viewer, reader in self._readers.items() if reader.ask_at <= now
        ]
        for start in range(0, len(due), SIDE_BY_SIDE):
            batch = due[start : start + SIDE_BY_SIDE]
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._ask(viewer)) for viewer in batch]
            await self._listen()
            for viewer, answered in zip(batch, asked, strict=True):
                if answered.result():
                    await self._owe_nothing(viewer)
        await self._listen()

    async def _ask(self, viewer: UserId) -> bool:
        """Asks whom a reader follows; whether that was answered."""
        asked = self._clock.now()
        try:
            followees = await self._following.look(viewer)
            authors = celebrities(followees)
            reader = self._readers.get(viewer)
            if reader is None:
                return False
            opened = reader.log
            if opened is None and not authors <= self._followers.followed_by(viewer):
                # Somebody new: theirs count from when the reader was last asked.
                opened = await self._logs.visit(viewer, checked_ms=None)
                opened = replace(opened, checked_ms=reader.asked_ms)
        except MeshError as error:
            log.warning("celebrities.ask_failed", error=str(error))
            self._ask_again(viewer, self._pace.check)
            return False
        if self._readers.get(viewer) is not reader:
            # They left, or came once more, meanwhile: that is due by itself.
            return False
        self._followers.put(viewer, authors)
        self._followers.put_all(viewer, [one.author_id for one in followees])
        self._readers[viewer] = replace(reader, log=opened, asked_ms=to_ms(asked))
        self._ask_again(viewer, self._pace.refresh)
        return True

    async def _owe_nothing(self, viewer: UserId) -> None:
        """Makes good what a reader missed before this process listened for them."""
        reader = self._readers.get(viewer)
        if reader is None or reader.log is None:
            return
        authors = self._followers.followed_by(viewer)
        try:
            held = await self._missed.make_good(viewer, authors, reader.log)
        except MeshError as error:
            log.warning("celebrities.make_good_failed", error=str(error))
            self._ask_again(viewer, self._pace.check)
            return
        self._announcements.remember(held)
        if self._readers.get(viewer) is reader:
            self._readers[viewer] = replace(reader, log=None)

    def _ask_again(self, viewer: UserId, after: timedelta) -> None:
        reader = self._readers.get(viewer)
        if reader is not None:
            at = self._clock.monotonic() + after.total_seconds()
            self._readers[viewer] = replace(reader, ask_at=at)

    async def _listen(self) -> None:
        """Listens to whom readers follow, and to nobody else."""
        wanted = set(self._followers.authors())
        for author in wanted - self._listening.keys():
            stack = AsyncExitStack()
            await stack.enter_async_context(
                self._live.listen_author(author, on_change=self._announcements.heard)
            )
            self._listening[author] = stack
        for author in self._listening.keys() - wanted:
            await self._listening.pop(author).aclose()


def celebrities(followees: Iterable[Followee]) -> frozenset[UserId]:
    """Those whose posts are announced."""
    return frozenset(one.author_id for one in followees if one.is_celebrity)
