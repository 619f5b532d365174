"""Values of the domain: changes of a feed, positions in a log, where logs stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NewType

from chassis import ids
from chassis.errors import InvalidArgument

UserId = NewType("UserId", int)
PostId = NewType("PostId", int)

# Name of one running push process; a new one at each start.
ProcessName = NewType("ProcessName", str)

_POSITION = re.compile(r"([0-9a-z]{1,16}):([0-9]{1,19})", re.ASCII)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(Enum):
    """What a change does to a feed. The values are those kept in the logs."""

    POST_ADDED = "a"
    POST_REMOVED = "r"


@dataclass(frozen=True, slots=True)
class Change:
    """A post that came into feeds, or left them.

    In one log a post is added at most once and removed at most once, and never
    added after it was removed.
    """

    kind: Kind
    post_id: PostId
    author_id: UserId
    # When it happened, in Unix milliseconds.
    occurred_ms: int

    @property
    def occurred(self) -> datetime:
        """When it happened."""
        return from_ms(self.occurred_ms)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a reader's log.

    Positions of two epochs say nothing about each other: the log in between was
    lost.
    """

    epoch: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """The position a client sent; None for none.

        Raises InvalidArgument where it is malformed.
        """
        if not text:
            return None
        found = _POSITION.fullmatch(text)
        if found is None:
            raise InvalidArgument("POSITION_INVALID", "a position is epoch:sequence")
        return cls(epoch=found[1], sequence=int(found[2]))


@dataclass(frozen=True, slots=True)
class Logged:
    """A change at its place in a log."""

    sequence: int
    change: Change


@dataclass(frozen=True)
class LogLimits:
    """How much is kept, and how long."""

    changes: int
    """Newest changes of a log that are kept."""

    retention: timedelta
    """How long a change is kept, and how long after they left a reader is online
    lately."""

    presumed: timedelta
    """How long a process that says nothing is believed to hold its readers."""


@dataclass(frozen=True, slots=True)
class OpenLog:
    """Where a reader's log stands when it is opened."""

    head: Position
    # Newest sequence that is no longer kept; what follows it can be read.
    floor: int
    # Until when posts of celebrities are known to be in the log, in Unix ms.
    checked_ms: int

    @property
    def size(self) -> int:
        """How many changes can be read."""
        return self.head.sequence - self.floor

    def reaches(self, position: Position) -> bool:
        """Whether every change after the position can be read."""
        return (
            position.epoch == self.head.epoch
            and self.floor <= position.sequence <= self.head.sequence
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a change stands in one reader's log, and who holds the reader."""

    viewer: UserId
    position: Position
    holders: tuple[ProcessName, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A reader this process holds, as it says in a heartbeat."""

    viewer: UserId
    streams: int
    # Until when posts of celebrities were looked for; None leaves it as it was.
    checked_ms: int | None


@dataclass(frozen=True, slots=True)
class Hint:
    """Tells a process that the log of one of its readers grew."""

    viewer: UserId
    position: Position


class SignalKind(Enum):
    """What else a process is told about a reader it holds."""

    # Whom they follow changed.
    FOLLOWS_CHANGED = "follows"
    # The account is suspended or erased.
    ACCOUNT_ENDED = "ended"


@dataclass(frozen=True, slots=True)
class PostRecord:
    """What decides over who hears of a post."""

    post_id: PostId
    author_id: UserId
    visibility: int


@dataclass(frozen=True, slots=True)
class Tie:
    """How an author and another person stand to each other."""

    # The author follows the person.
    is_following: bool
    # The person follows the author.
    is_followed_by: bool


class EventKind(Enum):
    """What a live event says."""

    POST_ADDED = Kind.POST_ADDED.value
    POST_REMOVED = Kind.POST_REMOVED.value
    RESET = "reset"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Live:
    """One event for one client. change is set where a post came or left."""

    position: Position
    occurred: datetime
    kind: EventKind
    change: Change | None = None

    @classmethod
    def of(cls, epoch: str, logged: Logged) -> Live:
        """The event of a change in the log."""
        return cls(
            position=Position(epoch, logged.sequence),
            occurred=logged.change.occurred,
            kind=EventKind(logged.change.kind.value),
            change=logged.change,
        )


@dataclass(frozen=True, slots=True)
class Synced:
    """What a polling client is answered."""

    events: tuple[Live, ...]
    position: Position
    has_more: bool


def added(post_id: PostId, author_id: UserId) -> Change:
    """A new post. It happened when its id was made, whoever noticed it when."""
    return Change(Kind.POST_ADDED, post_id, author_id, ids.ms_of(post_id))


def removed(post_id: PostId, author_id: UserId, occurred: datetime) -> Change:
    """A post that is gone."""
    return Change(Kind.POST_REMOVED, post_id, author_id, to_ms(occurred))


def to_ms(instant: datetime) -> int:
    """Unix milliseconds of an instant."""
    return (instant - _UNIX) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """The instant of Unix milliseconds."""
    return _UNIX + timedelta(milliseconds=milliseconds)
