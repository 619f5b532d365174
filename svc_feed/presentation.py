"""Step 4 of a page, presentation: in which order, and as which bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chassis.errors import MeshError

from . import frames
from .hydration import Trimmings
from .model import (
    LIKED,
    SHARED,
    Candidate,
    PostId,
    Ranking,
    Reason,
    Score,
    Stats,
    UserId,
    WireBytes,
)
from .ports import Ranker

# Frames of counts that are kept ready, of one post each.
MOST_STATS = 20_000

# Every ViewerState there is, as field `viewer` of a FeedItem.
_VIEWER = [
    frames.nested(4, frames.number(1, did & LIKED) + frames.number(2, did >> 1))
    for did in range(LIKED + SHARED + 1)
]
_REASONS = {reason: frames.number(5, reason) for reason in Reason}


class Presentation:
    """Orders a window and joins pages."""

    def __init__(self, *, ranker: Ranker) -> None:
        self._ranker = ranker
        self._stats: dict[PostId, tuple[Stats, int, WireBytes]] = {}

    async def ranked(
        self,
        viewer: UserId,
        window: Sequence[Candidate],
        stats: Mapping[PostId, Stats],
    ) -> tuple[list[Candidate], Ranking] | None:
        """The window in ranked order, and the scores.

        None when ranking does not answer in time.

        Whatever ranking says, the result holds the window's posts and nothing else,
        each once.
        """
        try:
            ranking = await self._ranker.rank(viewer, window, stats)
        except MeshError:
            return None
        return permuted(window, ranking.order), ranking

    def item(
        self,
        shown: Candidate,
        trimmings: Trimmings,
        score: Score | None,
    ) -> WireBytes | None:
        """One FeedItem; None when its author vanished while the page was made."""
        parts = [shown.post.frame]
        original_author = b""
        followers = 0
        if trimmings.profiles is not None:
            author = trimmings.profiles.get(shown.author_id)
            if author is None:
                return None
            followers = author.followers
            parts.append(author.frame)
            if shown.original is not None:
                by = UserId(shown.original.facts.author_id)
                if by in trimmings.profiles:
                    original_author = trimmings.profiles[by].body
        stats = trimmings.stats.get(shown.post_id)
        if stats is not None:
            parts.append(self._stats_frame(shown.post_id, stats, followers))
        parts.append(_VIEWER[trimmings.did.get(shown.post_id, 0) & 3])
        parts.append(_REASONS[shown.reason])
        if score is not None:
            parts.append(frames.nested(6, frames.score(score.value, score.terms)))
        if shown.original is not None:
            parts.append(frames.nested(7, shown.original.body))
            if original_author:
                parts.append(frames.nested(8, original_author))
        return b"".join(parts)

    def _stats_frame(self, post_id: PostId, stats: Stats, followers: int) -> WireBytes:
        """Field `stats` of an item: counts of the post, and of its author."""
        kept = self._stats.get(post_id)
        if kept is not None and kept[0] is stats and kept[1] == followers:
            return kept[2]
        frame = frames.nested(3, stats.body + frames.number(4, followers))
        if len(self._stats) >= MOST_STATS:
            self._stats.clear()
        self._stats[post_id] = (stats, followers, frame)
        return frame


def permuted(window: Sequence[Candidate], hint: Iterable[PostId]) -> list[Candidate]:
    """The window in the order of a hint that nobody vouches for.

    Unknown posts and repeats are dropped, missing ones follow in the order they have.
    """
    left = {one.post_id: one for one in window}
    ordered = [left.pop(post_id) for post_id in hint if post_id in left]
    ordered.extend(left.values())
    return ordered
