"""Step 3 of a page, the rules: what this reader may see, and wants to, now.

Pure. Permission is decided by `domain.visibility.can_view` alone; what is added here
is what belongs to a home feed: it holds people the reader follows, themself, and
nobody they mute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from domain.visibility import Relation, can_view

from .model import Candidate, Post, PostId, Reason, Relations, UserId

# How close a reader is to the people in their feed, as far as edges tell: a bond that
# goes both ways counts for more than one that goes one way.
AFFINITY = 0.3
MUTUAL_AFFINITY = 0.7


class Hidden(Enum):
    """Why a post is left out."""

    FORBIDDEN = "forbidden"
    """May not be seen, or is not wanted here."""

    UNKNOWN = "unknown"
    """A relation that decides it is not known."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides over the posts of one page."""

    viewer: UserId
    relations: Relations
    """To every author in question; one that is missing is unknown."""

    posts: Mapping[PostId, Post]
    """The posts in question and their originals; one that is missing is gone."""

    celebrities: frozenset[UserId]

    def judge(self, post_id: PostId) -> Candidate | Hidden:
        """The post as this reader sees it, or why they do not."""
        post = self.posts.get(post_id)
        if post is None:
            return Hidden.FORBIDDEN
        facts = post.facts
        relation = self._relation(post)
        if facts.author_id != self.viewer:
            if relation is None:
                return Hidden.UNKNOWN
            if not relation.is_following or relation.is_muting:
                return Hidden.FORBIDDEN
        if facts.share_of:
            return self._share(post)
        if not can_view(self.viewer, facts, relation):
            return Hidden.FORBIDDEN
        original = self._quoted(post) if facts.quote_of else None
        return self._shown(post, relation, original)

    def _share(self, post: Post) -> Candidate | Hidden:
        """A share stands and falls with its original."""
        original = self.posts.get(PostId(post.facts.share_of))
        if original is None:
            return Hidden.FORBIDDEN
        relation = self._relation(original)
        if relation is None and original.facts.author_id != self.viewer:
            return Hidden.UNKNOWN
        is_seen = can_view(
            self.viewer,
            post.facts,
            self._relation(post),
            original=(original.facts, relation),
        )
        if not is_seen or (relation is not None and relation.is_muting):
            return Hidden.FORBIDDEN
        return self._shown(post, self._relation(post), original)

    def _quoted(self, post: Post) -> Post | None:
        """The original of a quote; without it the quote is shown alone."""
        original = self.posts.get(PostId(post.facts.quote_of))
        if original is None:
            return None
        relation = self._relation(original)
        is_seen = can_view(self.viewer, original.facts, relation)
        if not is_seen or (relation is not None and relation.is_muting):
            return None
        return original

    def _relation(self, post: Post) -> Relation | None:
        # UserId() and PostId() are calls, which a page would make some hundred times.
        found: Relation | None = self.relations.get(post.facts.author_id)  # type: ignore[call-overload] # see above
        return found

    def _shown(
        self, post: Post, relation: Relation | None, original: Post | None
    ) -> Candidate:
        facts = post.facts
        author = facts.author_id
        reason = Reason.FOLLOWED
        if author == self.viewer:
            reason = Reason.OWN
        elif facts.share_of:
            reason = Reason.SHARED
        elif author in self.celebrities:
            reason = Reason.CELEBRITY
        is_mutual = relation is not None and relation.is_followed_by
        return Candidate(
            facts.post_id,  # type: ignore[arg-type] # as in _relation
            author,  # type: ignore[arg-type] # as in _relation
            post,
            reason,
            MUTUAL_AFFINITY if is_mutual else AFFINITY,
            original,
        )
