"""Why a post is hidden from a reader, and the words for it.

Decides nothing: whether a post is hidden, the rules of reading say.
"""

from __future__ import annotations

from domain.visibility import Denial, Relation, denial

from .model import Candidate, EdgeState, HiddenBy, Placement, Post, PostId, UserId
from .rules import Rules

_DENIALS = {
    Denial.UNKNOWN: HiddenBy.UNKNOWN_RELATION,
    Denial.AUTHOR: HiddenBy.AUTHOR_STATE,
    Denial.BLOCK: HiddenBy.BLOCK,
    Denial.VISIBILITY: HiddenBy.VISIBILITY,
    Denial.ORIGINAL: HiddenBy.ORIGINAL,
}

_EDGES = {
    EdgeState.OWN: "The reader wrote it",
    EdgeState.PUSHED: "The reader follows the author",
    EdgeState.PULLED_CELEBRITY: "The reader follows the author, whose posts are pulled",
    EdgeState.PULLED_READER: "The reader follows so many that all posts are pulled",
    EdgeState.IDLE_READER: "The reader was away, and the index is made when they come",
    EdgeState.NONE: "The reader does not follow the author",
}

_PLACEMENTS = {
    Placement.PLACED: "the post is in the index",
    Placement.NOT_NEEDED: "the post is not in the index and need not be",
    Placement.PENDING: "the post is so new that fan-out may be at it",
    Placement.MISSING: "the post should be in the index and is missing",
}

_HIDDEN = {
    HiddenBy.DELETED: "the post is deleted",
    HiddenBy.NOT_FOLLOWING: "the reader does not follow the author",
    HiddenBy.MUTE: "the reader mutes the author, or who wrote what it shares",
    HiddenBy.BLOCK: "one of the two blocks the other",
    HiddenBy.AUTHOR_STATE: "the author is suspended or gone",
    HiddenBy.VISIBILITY: "it is not meant for the reader",
    HiddenBy.ORIGINAL: "what it shares is gone, or hidden from the reader",
    HiddenBy.UNKNOWN_RELATION: "the relation to an author is unknown",
}


def hidden_by(rules: Rules, post_id: PostId) -> HiddenBy:
    """The first rule that hides a post."""
    post = rules.posts.get(post_id)
    if post is None:
        return HiddenBy.DELETED
    if isinstance(rules.judge(post_id), Candidate):
        return HiddenBy.NOTHING
    original = rules.posts.get(PostId(post.facts.share_of))
    reason = denial(
        rules.viewer,
        post.facts,
        _relation(rules, post),
        original=(original.facts, _relation(rules, original)) if original else None,
    )
    if reason in (Denial.UNKNOWN, Denial.AUTHOR, Denial.BLOCK):
        return _DENIALS[reason]
    if post.facts.author_id != rules.viewer:
        relation = _relation(rules, post)
        if relation and not relation.is_following:
            return HiddenBy.NOT_FOLLOWING
        if relation and relation.is_muting:
            return HiddenBy.MUTE
    # What nothing forbids shares something of somebody whom the reader mutes.
    return HiddenBy.MUTE if reason is None else _DENIALS[reason]


def summary(
    edge: EdgeState, placement: Placement, hidden: HiddenBy, *, is_recent: bool
) -> str:
    """An explanation in a sentence."""
    said = f"{_EDGES[edge]}; {_PLACEMENTS[placement]}; "
    if hidden is not HiddenBy.NOTHING:
        return f"{said}it is hidden because {_HIDDEN[hidden]}."
    if not is_recent:
        return f"{said}it is older than feeds reach."
    return f"{said}nothing hides it."


def _relation(rules: Rules, post: Post) -> Relation | None:
    return rules.relations.get(UserId(post.facts.author_id))
