"""What svc_push meets from outside, in memory: logs, hints, graph, posts.

The logs keep the same rules as those in Valkey: both pass ReaderLogsContract.
"""

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from chassis.clock import Clock
from chassis.errors import MeshError, Unavailable

from domain.visibility import Relation, UserState, Visibility
from svc_push.model import (
    Change,
    Followee,
    Held,
    Hint,
    Kind,
    Logged,
    LogLimits,
    OpenLog,
    Placed,
    Position,
    PostId,
    PostRecord,
    ProcessName,
    Relations,
    SignalKind,
    Tie,
    UserId,
    to_ms,
)


@dataclass
class _Log:
    epoch: str
    sequence: int = 0
    floor: int = 0
    # By sequence: the change, and when it was logged.
    kept: dict[int, tuple[Change, int]] = field(default_factory=dict)
    # What was last said of a post or an author: version, kind, sequence.
    said: dict[tuple[str, int], tuple[int, Kind, int]] = field(default_factory=dict)


@dataclass
class _Mark:
    checked_ms: int
    until_ms: int
    # When each process last spoke, and its streams.
    held: dict[ProcessName, tuple[int, int]] = field(default_factory=dict)


class MemoryReaderLogs:
    """ReaderLogs in memory, as if of an engine that can be emptied."""

    def __init__(self, *, clock: Clock, limits: LogLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._epochs = itertools.count(1)
        self._logs: dict[UserId, _Log] = {}
        self._marks: dict[UserId, _Mark] = {}
        self._followed: dict[UserId, set[UserId]] = {}
        self.failing: MeshError | None = None
        """Raised by every method while set."""
        self.refused = 0
        """How often it was raised."""

    def lose_all(self) -> None:
        """What a flush of the engine does."""
        self._logs.clear()
        self._marks.clear()

    async def anybody(self) -> bool:
        self._check()
        return bool(self._marks)

    async def append(self, viewers: Sequence[UserId], change: Change) -> list[Placed]:
        self._check()
        placed = []
        for viewer in viewers:
            if viewer in self._marks:
                sequence = self._append(self._renewed(viewer), change)
                if sequence is not None:
                    position = Position(self._logs[viewer].epoch, sequence)
                    holders = tuple(self._holders(viewer))
                    placed.append(Placed(viewer, position, holders))
        return placed

    async def open(
        self, viewer: UserId, *, process: ProcessName, streams: int, limit: int
    ) -> OpenLog | None:
        self._check()
        others = self._holders(viewer)
        total = sum(count for name, count in others.items() if name != process)
        if total + streams > limit:
            return None
        opened = self._visited(viewer)
        self._marks[viewer].held[process] = (self._now(), streams)
        return opened

    async def visit(self, viewer: UserId, *, checked_ms: int | None) -> OpenLog:
        self._check()
        opened = self._visited(viewer)
        if checked_ms is not None:
            self._marks[viewer].checked_ms = checked_ms
        return self._visited(viewer) if checked_ms is not None else opened

    async def touch(
        self, held: Sequence[Held], *, process: ProcessName
    ) -> dict[UserId, Position]:
        self._check()
        positions = {}
        for reader in held:
            positions[reader.viewer] = self._visited(reader.viewer).head
            mark = self._marks[reader.viewer]
            mark.held[process] = (self._now(), reader.streams)
            if reader.checked_ms is not None:
                mark.checked_ms = reader.checked_ms
        return positions

    async def leave(
        self, viewer: UserId, *, process: ProcessName, streams: int
    ) -> None:
        self._check()
        mark = self._marks.get(viewer)
        if mark is not None:
            mark.held.pop(process, None)
            if streams:
                mark.held[process] = (self._now(), streams)

    async def read(
        self, viewer: UserId, *, after: Position, limit: int
    ) -> list[Logged] | None:
        self._check()
        log = self._logs.get(viewer)
        if log is None or log.epoch != after.epoch:
            return None
        if not log.floor <= after.sequence <= log.sequence:
            return None
        last = min(log.sequence, after.sequence + limit)
        wanted = range(after.sequence + 1, last + 1)
        return [Logged(number, log.kept[number][0]) for number in wanted]

    async def holders(self, viewer: UserId) -> list[ProcessName]:
        self._check()
        return list(self._holders(viewer))

    async def removed(self, viewer: UserId) -> list[UserId]:
        self._check()
        log = self._logs.get(viewer)
        said = log.said.items() if log else ()
        return sorted(
            UserId(author)
            for (_, author), (_, kind, _) in said
            if kind is Kind.AUTHOR_REMOVED
        )

    async def note_followed(
        self, viewer: UserId, authors: Collection[UserId]
    ) -> set[UserId]:
        self._check()
        before = self._followed.get(viewer, set())
        self._followed[viewer] = set(authors)
        return before

    async def erase(self, viewer: UserId) -> None:
        self._check()
        self._followed.pop(viewer, None)
        self._logs.pop(viewer, None)
        self._marks.pop(viewer, None)

    def _check(self) -> None:
        if self.failing is not None:
            self.refused += 1
            raise self.failing

    def _now(self) -> int:
        return to_ms(self._clock.now())

    def _renewed(self, viewer: UserId) -> _Log:
        if viewer not in self._logs:
            self._logs[viewer] = _Log(epoch=f"m{next(self._epochs)}")
        return self._logs[viewer]

    def _visited(self, viewer: UserId) -> OpenLog:
        log, now = self._renewed(viewer), self._now()
        mark = self._marks.setdefault(viewer, _Mark(checked_ms=now, until_ms=0))
        mark.until_ms = now + int(self._limits.retention.total_seconds() * 1000)
        return OpenLog(
            head=Position(log.epoch, log.sequence),
            floor=log.floor,
            checked_ms=mark.checked_ms,
        )

    def _holders(self, viewer: UserId) -> dict[ProcessName, int]:
        mark = self._marks.get(viewer)
        presumed = self._limits.presumed.total_seconds() * 1000
        return {
            process: streams
            for process, (seen, streams) in (mark.held.items() if mark else ())
            if self._now() - seen <= presumed
        }

    def _append(self, log: _Log, change: Change) -> int | None:
        said = log.said.get(_subject(change))
        version, sequence = _settled(log, change, said)
        if version is None:
            return sequence
        log.sequence += 1
        log.kept[log.sequence] = (change, self._now())
        log.said[_subject(change)] = (version, change.kind, log.sequence)
        oldest = self._now() - self._limits.retention.total_seconds() * 1000
        while len(log.kept) > self._limits.changes or (
            log.kept[log.floor + 1][1] < oldest
        ):
            log.floor += 1
            dropped, _ = log.kept.pop(log.floor)
            mark = log.said.get(_subject(dropped))
            if mark and mark[2] == log.floor and mark[1] is not Kind.AUTHOR_REMOVED:
                del log.said[_subject(dropped)]
        return log.sequence


def _subject(change: Change) -> tuple[str, int]:
    if change.kind.is_of_post:
        return "post", change.post_id
    return "author", change.author_id


def _settled(
    log: _Log, change: Change, said: tuple[int, Kind, int] | None
) -> tuple[int | None, int | None]:
    """The version to note with a new entry; else None, and where the change stands."""
    author = log.said.get(("author", change.author_id))
    is_away = author is not None and author[1] is Kind.AUTHOR_REMOVED
    if change.kind is Kind.POST_ADDED and is_away:
        return None, None
    if said is None:
        if change.kind is Kind.AUTHOR_RETURNED:
            return None, None
        return change.version, None
    version, kind, sequence = said
    if kind is change.kind:
        says_it_anew = kind is Kind.AUTHOR_REMOVED and not change.was_noticed
        if not says_it_anew or change.version <= version:
            newest = max(version, change.version)
            log.said[_subject(change)] = (newest, kind, sequence)
            return None, sequence if sequence > log.floor else None
    if change.version > version or change.was_noticed:
        return max(version, change.version), None
    return None, None


@dataclass
class MemoryNetwork:
    """Hints between processes, delivered at once, unless they are to be lost."""

    is_losing: bool = False
    sent: int = 0
    _hints: dict[ProcessName, Callable[[Change, Sequence[Hint]], Awaitable[None]]] = (
        field(default_factory=dict)
    )
    _signals: dict[ProcessName, Callable[[UserId, SignalKind], Awaitable[None]]] = (
        field(default_factory=dict)
    )
    _broadcasts: dict[ProcessName, Callable[[Change], Awaitable[None]]] = field(
        default_factory=dict
    )
    _authors: defaultdict[UserId, list[Callable[[Change, int], Awaitable[None]]]] = (
        field(default_factory=lambda: defaultdict(list))
    )

    def listeners(self, author: UserId) -> int:
        """How many listen to a celebrity."""
        return len(self._authors[author])

    async def send(
        self, process: ProcessName, change: Change, hints: Sequence[Hint]
    ) -> None:
        self.sent += 1
        if not self.is_losing and process in self._hints:
            await self._hints[process](change, hints)

    async def signal(
        self, process: ProcessName, viewer: UserId, kind: SignalKind
    ) -> None:
        if not self.is_losing and process in self._signals:
            await self._signals[process](viewer, kind)

    async def announce(self, change: Change, visibility: int) -> None:
        self.sent += 1
        if not self.is_losing:
            for heard in tuple(self._authors[change.author_id]):
                await heard(change, visibility)

    async def broadcast(self, change: Change) -> None:
        self.sent += 1
        if not self.is_losing:
            for heard in tuple(self._broadcasts.values()):
                await heard(change)

    @asynccontextmanager
    async def listen(
        self,
        process: ProcessName,
        *,
        on_hints: Callable[[Change, Sequence[Hint]], Awaitable[None]],
        on_signal: Callable[[UserId, SignalKind], Awaitable[None]],
        on_broadcast: Callable[[Change], Awaitable[None]],
    ) -> AsyncIterator[None]:
        self._hints[process] = on_hints
        self._signals[process] = on_signal
        self._broadcasts[process] = on_broadcast
        yield
        del self._hints[process], self._signals[process], self._broadcasts[process]

    @asynccontextmanager
    async def listen_author(
        self, author: UserId, *, on_change: Callable[[Change, int], Awaitable[None]]
    ) -> AsyncIterator[None]:
        self._authors[author].append(on_change)
        yield
        self._authors[author].remove(on_change)


@dataclass
class MemoryGraph:
    """Who follows whom, as a test says."""

    follows: set[tuple[UserId, UserId]] = field(default_factory=set)
    celebrities: set[UserId] = field(default_factory=set)
    mutes: set[tuple[UserId, UserId]] = field(default_factory=set)
    blocks: set[tuple[UserId, UserId]] = field(default_factory=set)
    states: dict[UserId, UserState] = field(default_factory=dict)
    """Of those who are not active."""
    version: int = 0
    on_relations: Callable[[], None] = lambda: None
    """What happens just before relations are answered."""
    failing: MeshError | None = None
    asked: int = 0
    """How often followers were streamed."""
    learned: list[UserId] = field(default_factory=list)
    """Readers of whom it was asked whom they follow."""

    async def is_celebrity(self, author: UserId) -> bool:
        self._check()
        return author in self.celebrities

    async def followers(self, author: UserId) -> AsyncIterator[list[UserId]]:
        self._check()
        self.asked += 1
        yield sorted(who for who, whom in self.follows if whom == author)

    async def ties(self, author: UserId, people: Sequence[UserId]) -> dict[UserId, Tie]:
        self._check()
        return {
            person: Tie(
                is_following=(author, person) in self.follows,
                is_followed_by=(person, author) in self.follows,
            )
            for person in people
        }

    async def following(self, viewer: UserId) -> AsyncIterator[list[Followee]]:
        self.learned.append(viewer)
        self._check()
        yield [
            Followee(whom, whom in self.celebrities)
            for who, whom in sorted(self.follows)
            if who == viewer
        ]

    async def relations(self, viewer: UserId, people: Sequence[UserId]) -> Relations:
        self._check()
        self.on_relations()
        found = {person: self._relation(viewer, person) for person in people}
        return Relations(of=found, version=self.version)

    def _relation(self, viewer: UserId, person: UserId) -> Relation:
        return Relation(
            is_following=(viewer, person) in self.follows,
            is_followed_by=(person, viewer) in self.follows,
            is_blocking=(viewer, person) in self.blocks,
            is_blocked_by=(person, viewer) in self.blocks,
            is_muting=(viewer, person) in self.mutes,
            state=self.states.get(person, UserState.ACTIVE),
        )

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing


@dataclass
class MemoryPosts:
    """Which posts there are, as a test says."""

    there: dict[PostId, PostRecord] = field(default_factory=dict)
    failing: MeshError | None = None

    def add(
        self,
        post: PostId,
        author: UserId,
        visibility: Visibility = Visibility.PUBLIC,
    ) -> None:
        """A post that there is from now on."""
        self.there[post] = PostRecord(post, author, visibility, version=1)

    def edit(self, post: PostId, visibility: Visibility) -> PostRecord:
        """Another audience, and a version more."""
        old = self.there[post]
        new = replace(old, visibility=visibility, version=old.version + 1)
        self.there[post] = new
        return new

    async def recent(
        self, authors: Sequence[UserId], *, after: PostId, before: PostId, limit: int
    ) -> list[tuple[PostId, UserId]]:
        self._check()
        found = []
        for author in authors:
            posts = sorted(
                (
                    post
                    for post, record in self.there.items()
                    if record.author_id == author
                    and post > after
                    and (not before or post < before)
                ),
                reverse=True,
            )
            found += [(post, author) for post in posts[:limit]]
        return sorted(found, reverse=True)

    async def records(self, posts: Sequence[PostId]) -> list[PostRecord]:
        self._check()
        return [self.there[post] for post in posts if post in self.there]

    def _check(self) -> None:
        if self.failing is not None:
            raise self.failing


def away() -> Unavailable:
    """What a port raises whose engine or peer is away."""
    return Unavailable("DEPENDENCY_UNAVAILABLE", "away")
