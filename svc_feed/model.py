"""Value types of home feeds. Enumerations carry the numbers of the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
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

# Fan-out passes over idle readers this much later than their own reads count them as
# idle, so that clocks which differ leave nobody out who is not rebuilt.
IDLE_MARGIN = timedelta(hours=1)

# What a new follow brings along: the newest posts of the time before it.
BACKFILL_AGE = timedelta(hours=24)
BACKFILL_POSTS = 50


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


class EdgeState(IntEnum):
    """How a reader stands to an author, as far as feeds go."""

    OWN = 1
    PUSHED = 2
    PULLED_CELEBRITY = 3
    PULLED_READER = 4
    IDLE_READER = 5
    NONE = 6


class Placement(IntEnum):
    """What fan-out made of a post for one reader."""

    PLACED = 1
    NOT_NEEDED = 2
    PENDING = 3
    MISSING = 4


class HiddenBy(IntEnum):
    """The first rule that hides a post from a reader."""

    NOTHING = 0
    DELETED = 1
    NOT_FOLLOWING = 2
    MUTE = 3
    BLOCK = 4
    AUTHOR_STATE = 5
    VISIBILITY = 6
    ORIGINAL = 7
    UNKNOWN_RELATION = 8


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
    body: WireBytes
    """The PostStats message."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a post of an author goes."""

    follower_count: int

    is_celebrity: bool
    """Readers pull the posts."""

    is_fanned_out: bool
    """Posts are placed with followers. While an author comes to be pulled, or ceases
    to be, both are true."""

    following_count: int
    """How many the author follows."""


class Followee(NamedTuple):
    """Somebody a reader follows."""

    user_id: UserId

    since_ms: int
    """Since when, in Unix milliseconds."""

    is_celebrity: bool
    """Readers pull the posts."""


@dataclass(frozen=True, slots=True)
class ReaderState:
    """What svc_feed remembers of a reader."""

    last_read: datetime | None = None
    """When a feed was last built by reading, to the day; None: never."""

    pulls: bool = False
    """Nothing is placed for the reader, who follows too many."""

    is_whole: bool = True
    """False: the index lacks posts, and has to be rebuilt."""


class Placed(NamedTuple):
    """What one part of a fan-out did."""

    rows: int
    """Feeds that did not hold the post before."""

    passed_over: int
    """Feeds of readers who are idle or pull, and feeds that held it before."""

    is_last: bool
    """Nobody is left whose feed wants it."""


class ReachMove(NamedTuple):
    """How far the posts of an author who was pulled are placed."""

    version: int
    """Which change of reach it is."""

    placed_since: datetime | None
    """Posts from then on are to be placed; None: none are, readers pull."""

    after: UserId
    """Followers up to this one hold them."""

    is_done: bool


class Expected(NamedTuple):
    """What an index should hold of a stretch, as graph and posts tell it."""

    entries: Sequence[Entry]
    """What must be there, newest first."""

    optional: Sequence[Entry]
    """What may be there besides: posts from before a follow, posts that are pulled."""

    is_complete: bool
    """False: the work budget ended before all was looked at."""


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

    celebrities: Sequence[UserId] = ()
    """Authors whose posts began or ceased to be pulled."""

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

    top: PostId | None = None
    """Newest post of the last first page; None: not known."""

    last: bytes | None = None
    """The last first page, where a refresh asks for it and it is recent."""


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


class Page(NamedTuple):
    """A page, made."""

    body: WireBytes
    """A GetHomeFeedResponse."""

    served_as: ServedAs
    served_from: ServedFrom
    end: EndReason


@dataclass(frozen=True, slots=True)
class Score:
    """How a candidate scored, and what the score is the sum of."""

    value: float
    terms: Sequence[tuple[str, float]]


class Ranking(NamedTuple):
    """An order that nobody vouches for: it may name too few, too many, or the same
    twice."""

    order: Sequence[PostId]
    """Best first."""

    score: Callable[[PostId], Score | None]
    """How a post scored; None when nothing was said. Made when asked for."""


class Profile(NamedTuple):
    """An author, as shown beside posts."""

    body: WireBytes
    """The User message."""

    frame: WireBytes
    """The same as field `author` of a FeedItem."""

    followers: int


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


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a post is in a reader's feed, or is not."""

    is_in_feed: bool
    author_id: UserId
    edge: EdgeState
    placement: Placement
    is_hot: bool
    hidden_by: HiddenBy
    last_read: datetime | None
    summary: str


@dataclass(frozen=True, slots=True)
class Audited:
    """How an index differs from graph and posts."""

    checked: int = 0
    """Posts that were looked at."""

    missing: Sequence[Entry] = ()
    """Newest first, as `extra`."""

    extra: Sequence[Entry] = ()

    due: Sequence[Entry] = ()
    """What should be there and is, as far as it has settled."""

    is_partial: bool = False
    """The work budget ended before all was looked at."""

    is_repaired: bool = False

    @property
    def drift(self) -> frozenset[Entry]:
        return frozenset((*self.missing, *self.extra))
