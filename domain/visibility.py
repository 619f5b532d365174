"""Who may see which post: the one function that every read path asks.

Numbers of the enumerations are those of the contract, so that values pass between
wire and domain unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Visibility(IntEnum):
    """Whom an author lets see a post (feedmesh.ingest.v1.Visibility)."""

    UNSPECIFIED = 0
    PUBLIC = 1
    FOLLOWERS = 2
    FRIENDS = 3
    PRIVATE = 4


class UserState(IntEnum):
    """Whether an account can be seen (feedmesh.graph.v1.UserState)."""

    UNSPECIFIED = 0
    ACTIVE = 1
    SUSPENDED = 2
    DELETED = 3


class Denial(Enum):
    """Why somebody may not see a post: the first reason that applies."""

    UNKNOWN = "the relation to the author is unknown"
    AUTHOR = "the author is suspended or gone"
    BLOCK = "one of the two blocks the other"
    VISIBILITY = "the post is not meant for the viewer"
    ORIGINAL = "what it shares is gone, or hidden from the viewer"


@dataclass(frozen=True, slots=True)
class Relation:
    """How a viewer stands to an author, and whether the author can be seen."""

    is_following: bool = False
    is_followed_by: bool = False
    is_blocking: bool = False
    is_blocked_by: bool = False
    is_muting: bool = False
    is_private: bool = False
    state: int = UserState.ACTIVE


@dataclass(frozen=True, slots=True)
class PostFacts:
    """What about a post decides who may see it."""

    post_id: int
    author_id: int
    visibility: int
    share_of: int = 0
    quote_of: int = 0


def can_view(
    viewer_id: int,
    post: PostFacts,
    relation: Relation | None,
    *,
    original: tuple[PostFacts, Relation | None] | None = None,
) -> bool:
    """Whether a viewer may see a post now.

    `viewer_id` is 0 for somebody without an account. `relation` is that of the
    viewer to the author; None means unknown, and what is unknown is not shown,
    since a block may stand. The viewer's own posts need none.

    A share shows what it shares, so it is seen only where its `original` is; one
    whose original is gone or unknown (None) is not seen. A quote says something of
    its own and is judged by itself: ask once more for its original, and leave that
    out where the answer is no.

    Muting is no matter of permission: it hides in the home feed only, which checks
    it besides.
    """
    return denial(viewer_id, post, relation, original=original) is None


def denial(
    viewer_id: int,
    post: PostFacts,
    relation: Relation | None,
    *,
    original: tuple[PostFacts, Relation | None] | None = None,
) -> Denial | None:
    """The decision of can_view with its reason; None: the viewer may see the post."""
    reason = _of_author(viewer_id, post, relation)
    if reason is not None or not post.share_of:
        return reason
    if original is None or original[0].post_id != post.share_of:
        return Denial.ORIGINAL
    return Denial.ORIGINAL if _of_author(viewer_id, *original) else None


def _of_author(
    viewer_id: int, post: PostFacts, relation: Relation | None
) -> Denial | None:
    if viewer_id and viewer_id == post.author_id:
        return None
    if relation is None:
        return Denial.UNKNOWN
    if relation.state != UserState.ACTIVE:
        return Denial.AUTHOR
    if relation.is_blocking or relation.is_blocked_by:
        return Denial.BLOCK
    return None if _is_meant_for(post, relation) else Denial.VISIBILITY


def _is_meant_for(post: PostFacts, relation: Relation) -> bool:
    if post.visibility == Visibility.PUBLIC:
        return relation.is_following or not relation.is_private
    if post.visibility == Visibility.FOLLOWERS:
        return relation.is_following
    if post.visibility == Visibility.FRIENDS:
        return relation.is_following and relation.is_followed_by
    return False
