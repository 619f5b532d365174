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
    Score,
    Stats,
    UserId,
    WireBytes,
)
from .ports import Ranker

# Every ViewerState there is, as field `viewer` of a FeedItem.
_VIEWER = [
    frames.nested(4, frames.number(1, did & LIKED) + frames.number(2, did >> 1))
    for did in range(LIKED + SHARED + 1)
]


class Presentation:
    """Orders a window and joins pages."""

    def __init__(self, *, ranker: Ranker) -> None:
        self._ranker = ranker

    async def ranked(
        self,
        viewer: UserId,
        window: Sequence[Candidate],
        stats: Mapping[PostId, Stats],
    ) -> tuple[list[Candidate], Mapping[PostId, Score]] | None:
        """The window in ranked order; None when ranking does not answer in time.

        Whatever ranking says, the result holds the window's posts and nothing else,
        each once.
        """
        try:
            hint = await self._ranker.rank(viewer, window, stats)
        except MeshError:
            return None
        scores = dict(hint)
        return permuted(window, (post_id for post_id, _ in hint)), scores

    def item(
        self,
        shown: Candidate,
        trimmings: Trimmings,
        score: Score | None,
    ) -> WireBytes | None:
        """One FeedItem; None when its author vanished while the page was made."""
        parts = [shown.post.frame]
        original_author = b""
        if trimmings.profiles is not None:
            author = trimmings.profiles.get(shown.author_id)
            if author is None:
                return None
            parts.append(frames.nested(2, author))
            if shown.original is not None:
                original_author = trimmings.profiles.get(
                    UserId(shown.original.facts.author_id), b""
                )
        stats = trimmings.stats.get(shown.post_id)
        if stats is not None:
            parts.append(stats.frame)
        parts.append(_VIEWER[trimmings.did.get(shown.post_id, 0) & 3])
        parts.append(frames.number(5, shown.reason))
        if score is not None:
            parts.append(frames.nested(6, frames.score(score.value, score.terms)))
        if shown.original is not None:
            parts.append(frames.nested(7, shown.original.body))
            if original_author:
                parts.append(frames.nested(8, original_author))
        return b"".join(parts)


def permuted(window: Sequence[Candidate], hint: Iterable[PostId]) -> list[Candidate]:
    """The window in the order of a hint that nobody vouches for.

    Unknown posts and repeats are dropped, missing ones follow in the order they have.
    """
    left = {one.post_id: one for one in window}
    ordered = [left.pop(post_id) for post_id in hint if post_id in left]
    ordered.extend(left.values())
    return ordered
