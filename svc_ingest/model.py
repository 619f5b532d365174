"""Values of the domain: posts, comments, counts, and what viewers did."""

from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from typing import NewType, TypeAlias

from chassis.ids import time_of

from domain.visibility import PostFacts, Visibility

UserId = NewType("UserId", int)
PostId = NewType("PostId", int)
CommentId = NewType("CommentId", int)

# A post as the wire carries it: serialised once, when it is written.
PostBytes: TypeAlias = bytes

NOBODY = UserId(0)
NO_POST = PostId(0)
# Above every id; where a list without a token starts.
ABOVE_ALL = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Post:
    """A post with its text, for the few paths that write one."""

    post_id: PostId
    author_id: UserId
    text: str
    visibility: Visibility
    reply_to: PostId
    share_of: PostId
    quote_of: PostId
    created: datetime
    updated: datetime | None
    version: int

    @property
    def etag(self) -> str:
        """Changes with every edit, since the version does."""
        return etag_of(self.version)


@dataclass(frozen=True, slots=True)
class StoredPost:
    """A post as stored: what decides over it, and its bytes."""

    post_id: PostId
    author_id: UserId
    visibility: Visibility
    reply_to: PostId
    share_of: PostId
    quote_of: PostId
    version: int
    body: PostBytes

    @property
    def facts(self) -> PostFacts:
        """What the rules of visibility look at."""
        return PostFacts(
            post_id=self.post_id,
            author_id=self.author_id,
            visibility=self.visibility,
            share_of=self.share_of,
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of a post. version grows with every recount."""

    likes: int = 0
    comments: int = 0
    shares: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """A stored count that is not what was counted."""

    post_id: PostId
    # like_count, comment_count or share_count.
    counter: str
    stored: int
    counted: int


@dataclass(frozen=True, slots=True)
class Compared:
    """A stretch of posts whose counts were compared with their rows."""

    # How many posts, and the last of them; 0 and whatever came before for none.
    count: int
    last: PostId
    drifts: list[Drift]


@dataclass(frozen=True, slots=True)
class Actions:
    """What one viewer did with a post."""

    liked: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A stored post with its counts, and what the viewer did with it."""

    post: StoredPost
    stats: Stats
    actions: Actions
    # The original of a share; None for other posts and where it is gone.
    original: PostFacts | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A post that somebody wants to write. At most one reference is set."""

    author_id: UserId
    text: str
    visibility: Visibility
    reply_to: PostId
    share_of: PostId
    quote_of: PostId


@dataclass(frozen=True, slots=True)
class Edit:
    """New values of a post; None keeps the old one."""

    text: str | None
    visibility: Visibility | None
    # The edit holds only for this etag; empty for any.
    etag: str


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An idempotency key: scoped to caller and method, with the body's digest."""

    caller: UserId
    method: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewPost:
    """A post on its way into the store, with the key of its request if it has one."""

    post: StoredPost
    request: RequestKey | None
    # Of the call that writes it: its trace goes with the event, its caller to audit.
    call: Context


@dataclass(frozen=True, slots=True)
class Created:
    """The stored post; replayed when it had been there before."""

    post: StoredPost
    replayed: bool


@dataclass(frozen=True, slots=True)
class Comment:
    """A remark under a post."""

    comment_id: CommentId
    post_id: PostId
    author_id: UserId
    text: str

    @property
    def created(self) -> datetime:
        """When it was stored: its id says so."""
        return time_of(self.comment_id)


@dataclass(frozen=True, slots=True)
class Like:
    """One like. like_id is ordered by time and pages the list."""

    like_id: int
    user_id: UserId


@dataclass(frozen=True, slots=True)
class Did:
    """A viewer's newest likes and shares at one version of them."""

    version: int
    actions: dict[PostId, Actions]


def etag_of(version: int) -> str:
    """The etag of a post at a version."""
    return f"v{version}"
