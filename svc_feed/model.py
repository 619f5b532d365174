"""Value types of home feeds. Enumerations carry the numbers of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, NewType, TypeAlias

from domain.visibility import PostFacts, Relation

PostId = NewType("PostId", int)
UserId = NewType("UserId", int)

# Above every id: where a list starts when nothing bounds it.
ABOVE_ALL = PostId((1 << 63) - 1)
BELOW_ALL = PostId(0)

# Wire bytes of a message, or of a field with its tag and length: kept as they came,
# joined as they are.
WireBytes: TypeAlias = bytes

Relations: TypeAlias = Mapping[UserId, Relation]


class Order(IntEnum):
    RANKED = 1
    LATEST = 2


class ServedAs(IntEnum):
    RANKED = 1
    CHRONOLOGICAL_FALLBACK = 2
    LATEST = 3


class ServedFrom(IntEnum):
    HOT = 1
    INDEX = 2
    REBUILT = 3
    CACHED_REFRESH = 4
    CACHE_ONLY = 5


class EndReason(IntEnum):
    NONE = 0
    COMPLETE = 1
    ARCHIVE_EDGE = 2
    WITHHELD = 3


class Reason(IntEnum):
    OWN = 1
    FOLLOWED = 2
    CELEBRITY = 3
    SHARED = 4


class Entry(NamedTuple):
    """A post in a feed. Post ids are ordered by time, so entries are, too."""

    post_id: PostId
    author_id: UserId


@dataclass(frozen=True, slots=True)
class Post:
    """A post as stored."""

    facts: PostFacts
    body: WireBytes
    """The Post message."""

    frame: WireBytes
    """The same as field `post` of a FeedItem."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of a post."""

    likes: int
    comments: int
    shares: int
    frame: WireBytes
    """The PostStats message as field `stats` of a FeedItem."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a post of an author goes."""

    follower_count: int
    is_celebrity: bool


class Hot(NamedTuple):
    """A hot feed as read: whole above its floor, silent at and below it."""

    entries: Sequence[Entry]
    """Newest first, all above the floor."""

    floor: PostId
    """0 when the index holds nothing older either."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Posts and people whose near copies are stale from now on."""

    posts: Sequence[PostId] = ()
    users: Sequence[UserId] = ()
    is_reset: bool = False
    """True when it is not known what changed: everything may have."""


@dataclass(frozen=True, slots=True)
class Record:
    """A post as its owner tells it."""

    post: Post
    stats: Stats
    did: int
    """Flags of what the viewer asked about did with it."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What the one round trip to Valkey at the start of a page brought."""

    hot: Hot | None
    """None: there is no hot feed, or it is being built."""

    mark: int | None
    """Version of the reader's relations; None: unknown, ask svc_graph."""

    own: Sequence[Entry] | None
    """The reader's newest posts; None: nothing is kept of them."""

    did: Mapping[PostId, int] | None
    """What the reader did with which post, as flags; None: nothing is kept."""

    changes: Changes
    """What was changed since the last glance of this process."""

    is_reachable: bool = True
    """False: Valkey does not answer, and all of the above is unknown."""


# Flags of what a reader did with a post.
LIKED = 1
SHARED = 2


@dataclass(frozen=True, slots=True)
class FeedQuery:
    """One page of one reader's feed."""

    viewer: UserId
    order: Order
    size: int
    token: str
    refresh: bool
    include_scores: bool
    min_graph_version: int


@dataclass(frozen=True, slots=True)
class Score:
    """How a candidate scored, and what the score is the sum of."""

    value: float
    terms: Sequence[tuple[str, float]]


class Candidate(NamedTuple):
    """A post that the reader may see, with all that shows it."""

    post_id: PostId
    author_id: UserId
    post: Post
    reason: Reason

    affinity: float
    """How close the reader is to the author, 0 to 1."""

    original: Post | None = None
    """What it shares or quotes, where the reader may see that."""
