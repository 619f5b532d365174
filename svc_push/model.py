"""Values of the domain: changes of a feed, positions in a log, where logs stand.

A log tells of posts and of authors. What it says of one of them follows these rules,
whatever the order in which events come and however often:

- Of a post: added, removed, added again, in turns, in the order of the post's
  versions. A change older than what the log holds is left out; one that says again
  what the log says already stays where it stands.
- Of an author: all their posts left the feed (removed), in the order of the graph's
  versions. Until they return nothing of theirs is added: what a fan-out under way still
  brings is left out. The return of an author whose leaving the log holds is told as a
  reset, since their posts are back in the feed and none of them was told: the client
  reads anew. Nobody else is told of a return.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NewType

from chassis import ids
from chassis.errors import InvalidArgument

from domain.visibility import Relation

UserId = NewType("UserId", int)
PostId = NewType("PostId", int)

# Name of one running push process; a new one at each start.
ProcessName = NewType("ProcessName", str)

NOBODY = UserId(0)
NO_POST = PostId(0)

# Version of a deletion that was noticed: newer than any edit.
GONE = (1 << 31) - 1

_POSITION = re.compile(r"([0-9a-z]{1,16}):([0-9]{1,19})", re.ASCII)
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(Enum):
    """What a change does to a feed. The values are those kept in the logs."""

    POST_ADDED = "a"
    POST_REMOVED = "r"
    AUTHOR_REMOVED = "x"
    AUTHOR_RETURNED = "z"

    @property
    def is_of_post(self) -> bool:
        """Whether it is about one post, rather than about an author."""
        return self in (Kind.POST_ADDED, Kind.POST_REMOVED)


@dataclass(frozen=True, slots=True)
class Change:
    """A post or an author that came into feeds, or left them."""

    kind: Kind
    # NO_POST where it is about an author.
    post_id: PostId
    author_id: UserId
    # That of the post, or of the graph where it is about an author: what is newer
    # holds.
    version: int
    # When it happened, in Unix milliseconds.
    occurred_ms: int
    # Seen by looking how things are, of which no event tells: it holds unless the log
    # says so already, whatever its version.
    was_noticed: bool = False

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
    version: int


@dataclass(frozen=True, slots=True)
class Tie:
    """How an author and another person stand to each other."""

    # The author follows the person.
    is_following: bool
    # The person follows the author.
    is_followed_by: bool


@dataclass(frozen=True)
class Relations:
    """How one person stands to others, at a version of the graph."""

    of: Mapping[UserId, Relation]
    version: int


@dataclass(frozen=True, slots=True)
class Followee:
    """Somebody whom a reader follows."""

    author_id: UserId
    is_celebrity: bool


class EventKind(Enum):
    """What a live event says."""

    POST_ADDED = Kind.POST_ADDED.value
    POST_REMOVED = Kind.POST_REMOVED.value
    AUTHOR_REMOVED = Kind.AUTHOR_REMOVED.value
    RESET = "reset"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Live:
    """One event for one client. change is set where a post or an author is named."""

    position: Position
    occurred: datetime
    kind: EventKind
    change: Change | None = None

    @classmethod
    def of(cls, epoch: str, logged: Logged) -> Live:
        """The event of a change in the log."""
        change = logged.change
        position = Position(epoch, logged.sequence)
        if change.kind is Kind.AUTHOR_RETURNED:
            return cls(position, change.occurred, EventKind.RESET)
        return cls(position, change.occurred, EventKind(change.kind.value), change)


@dataclass(frozen=True, slots=True)
class Synced:
    """What a polling client is answered."""

    events: tuple[Live, ...]
    position: Position
    has_more: bool


def added(post_id: PostId, author_id: UserId, version: int = 1) -> Change:
    """A new post. It happened when its id was made, whoever noticed it when."""
    return Change(Kind.POST_ADDED, post_id, author_id, version, ids.ms_of(post_id))


def removed(
    post_id: PostId, author_id: UserId, occurred: datetime, version: int = GONE
) -> Change:
    """A post that is gone, or that some may not see any more."""
    return Change(Kind.POST_REMOVED, post_id, author_id, version, to_ms(occurred))


def author_removed(
    author_id: UserId, occurred: datetime, version: int, *, was_noticed: bool = False
) -> Change:
    """All posts of an author left the feed."""
    at = to_ms(occurred)
    kind = Kind.AUTHOR_REMOVED
    return Change(kind, NO_POST, author_id, version, at, was_noticed)


def author_returned(
    author_id: UserId, occurred: datetime, version: int, *, was_noticed: bool = False
) -> Change:
    """The posts of an author are back in the feed."""
    at = to_ms(occurred)
    kind = Kind.AUTHOR_RETURNED
    return Change(kind, NO_POST, author_id, version, at, was_noticed)


def to_ms(instant: datetime) -> int:
    """Unix milliseconds of an instant."""
    return (instant - _UNIX) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """The instant of Unix milliseconds."""
    return _UNIX + timedelta(milliseconds=milliseconds)
