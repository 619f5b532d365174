"""Which posts a page shows, in which order, and where its session stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .hydration import Hydration
from .model import (
    ABOVE_ALL,
    BELOW_ALL,
    Candidate,
    EndReason,
    FeedQuery,
    PostId,
    Ranking,
    ServedAs,
    Stats,
)
from .position import MOST, Position, fitting
from .presentation import Presentation
from .walk import SLICE, Walk

# New posts are counted up to this.
MOST_NEW = 100


@dataclass(frozen=True, slots=True)
class Draft:
    """A page before it is put into bytes."""

    shown: Sequence[Candidate]
    position: Position
    """Where the session stands behind the page."""

    is_end: bool

    ranking: Ranking | None = None
    stats: Mapping[PostId, Stats] = field(default_factory=dict)
    """Counts that were loaded to rank."""

    judged: Sequence[Candidate] = ()
    """On first pages: the newest posts that may be shown, on the page or not."""

    new_posts: int = 0

    end: EndReason | None = None
    """Why there is no next page, where that was found out before."""


class Drafts:
    """Makes them."""

    def __init__(
        self, *, hydration: Hydration, presentation: Presentation, candidates: int
    ) -> None:
        """`candidates`: newest posts that are ranked."""
        self._hydration = hydration
        self._presentation = presentation
        self._candidates = candidates

    async def latest(self, query: FeedQuery, walk: Walk) -> Draft:
        """A first page, newest first."""
        found = await walk.down(ABOVE_ALL, query.size + 1)
        top = found[0].post_id if found else BELOW_ALL
        start = Position(ServedAs.LATEST, top, ABOVE_ALL)
        draft = _chronological([], found, query.size, start, walk)
        return replace(draft, judged=found)

    async def ranked(self, query: FeedQuery, walk: Walk) -> Draft:
        """A first page in ranked order, or newest first when ranking fails."""
        most = self._candidates
        found = await walk.down(ABOVE_ALL, max(most, query.size + 1))
        if not found:
            start = Position(ServedAs.RANKED, BELOW_ALL, ABOVE_ALL)
            return _chronological([], found, query.size, start, walk)
        top = found[0].post_id
        ids = [one.post_id for one in found]
        edge = fitting(top, ids, most)
        window, rest = found[:edge], found[edge:]
        before = ids[edge - 1] if rest else walk.before

        stats = await self._hydration.stats(window)
        ranked = await self._presentation.ranked(query.viewer, window, stats)
        if ranked is None:
            start = Position(ServedAs.CHRONOLOGICAL_FALLBACK, top, ABOVE_ALL)
            draft = _chronological([], found, query.size, start, walk)
            return replace(draft, judged=found)
        order, ranking = ranked
        start = Position(ServedAs.RANKED, top, before)
        if len(order) > query.size:
            draft = _within(order, ids[:edge], query.size, start)
        else:
            # The window is shown whole: whatever follows is newest first.
            draft = _chronological(order, rest, query.size, start, walk)
        return replace(draft, judged=found, ranking=ranking, stats=stats)

    async def following(
        self, query: FeedQuery, position: Position, walk: Walk
    ) -> Draft:
        """A later page, in the order that the first one set."""
        most = len(position.window) + SLICE
        above = await walk.ids_above(
            position.before if position.remaining else position.top, most
        )
        newer = [post_id for post_id in above if post_id > position.top]
        if len(newer) < most:
            new_posts = len(await walk.judged(newer[:MOST_NEW]))
        else:
            # There may be more of them than were looked for.
            new_posts = await walk.count_above(position.top, MOST_NEW)
        shown: list[Candidate] = []
        ranking: Ranking | None = None
        if position.remaining:
            shown, position = await self._rest_of_window(position, above, walk)
            ranking = await self._scores_again(query, shown)
        if len(shown) > query.size:
            draft = _within(shown, position.window, query.size, position)
        else:
            room = query.size - len(shown)
            more = await walk.down(position.before, room + 1, is_more=bool(shown))
            draft = _chronological(shown, more, query.size, position, walk)
        return replace(draft, ranking=ranking, new_posts=new_posts)

    async def _rest_of_window(
        self, position: Position, above: Sequence[PostId], walk: Walk
    ) -> tuple[list[Candidate], Position]:
        """What of the window is left and may be shown now, and the new window.

        Posts that came into its range after it was ranked (fan-out trails, relations
        were unknown) follow at its end, if the token has room for them.
        """
        known = set(position.window)
        late = {
            post_id
            for post_id in above
            if post_id <= position.top and post_id not in known
        }
        shown = await walk.judged([*position.remaining, *sorted(late, reverse=True)])
        late.intersection_update(one.post_id for one in shown)
        window = sorted(known | late, reverse=True)
        if fitting(position.top, window, MOST) < len(window):
            return [one for one in shown if one.post_id not in late], position
        return shown, replace(position, window=window)

    async def _scores_again(
        self, query: FeedQuery, shown: Sequence[Candidate]
    ) -> Ranking | None:
        """Scores of a later page; its order was set before and stays."""
        if not query.include_scores or not shown:
            return None
        stats = await self._hydration.stats(shown)
        ranked = await self._presentation.ranked(query.viewer, shown, stats)
        return ranked[1] if ranked else None


def _within(
    order: Sequence[Candidate],
    window: Sequence[PostId],
    size: int,
    position: Position,
) -> Draft:
    """A page of a window that goes on behind it."""
    remaining = [one.post_id for one in order[size:]]
    behind = replace(position, window=window, remaining=remaining)
    return Draft(order[:size], behind, is_end=False)


def _chronological(
    ranked: Sequence[Candidate],
    older: Sequence[Candidate],
    size: int,
    position: Position,
    walk: Walk,
) -> Draft:
    """A page that ends in, or behind, the part that is newest first.

    `older` holds one more than the page has room for, or all there is.
    """
    room = size - len(ranked)
    shown = [*ranked, *older[:room]]
    if len(older) > room:
        before = older[room - 1].post_id if room else position.before
    else:
        before = walk.before
    behind = replace(position, before=before, window=(), remaining=())
    is_end = len(older) <= room and walk.is_end
    return Draft(shown, behind, is_end=is_end)
