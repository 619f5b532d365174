"""Home feed pages: skeleton, hydration, rules, presentation, in that order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from chassis.errors import DeadlineExceeded, Unavailable
from chassis.paging import PageTokens

from . import frames
from .hydration import Hydration
from .model import (
    ABOVE_ALL,
    BELOW_ALL,
    Candidate,
    EndReason,
    FeedQuery,
    Glance,
    Order,
    PostId,
    Score,
    ServedAs,
    Stats,
    UserId,
    WireBytes,
)
from .ports import (
    FeedIndex,
    Glances,
    HotFeeds,
    NearCopies,
    Posts,
    ReaderGraph,
    ReaderGraphs,
)
from .position import MOST, Position, fitting
from .presentation import Presentation
from .skeleton import Skeleton
from .walk import SLICE, Walk

# New posts are counted up to this.
MOST_NEW = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one page may look at."""

    candidates: int
    """Newest posts that are ranked."""

    budget: int
    """Entries looked at for one page."""

    hot_window: int
    """Entries of a whole hot feed."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A page before it is put into bytes."""

    shown: Sequence[Candidate]
    position: Position
    """Where the session stands behind the page."""

    is_end: bool
    scores: Mapping[PostId, Score] = field(default_factory=dict)
    stats: Mapping[PostId, Stats] = field(default_factory=dict)
    """Counts that were loaded to rank."""
    new_posts: int = 0


class HomeFeed:
    """Makes pages. Holds nothing of its readers between them."""

    def __init__(
        self,
        *,
        glances: Glances,
        near: NearCopies,
        graphs: ReaderGraphs,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        posts: Posts,
        hydration: Hydration,
        presentation: Presentation,
        tokens: PageTokens,
        limits: Limits,
    ) -> None:
        self._glances = glances
        self._near = near
        self._graphs = graphs
        self._index = index
        self._hot_feeds = hot_feeds
        self._posts = posts
        self._hydration = hydration
        self._presentation = presentation
        self._tokens = tokens
        self._limits = limits

    async def page(self, query: FeedQuery) -> WireBytes:
        """One page as a GetHomeFeedResponse.

        Raises InvalidArgument for a token that is not the reader's or not of this
        query, Unavailable when nothing can be told or nothing may be shown.
        """
        position = self._position(query)
        glance = await self._glances.take(query.viewer)
        self._near.apply(glance.changes)
        graph = self._graphs.reader(
            query.viewer, mark=glance.mark, at_least=query.min_graph_version
        )
        skeleton, walk = await self._walk(query, glance, graph)
        if position is not None:
            draft = await self._next(query, position, walk)
        elif query.order is Order.LATEST:
            draft = await self._latest(query, walk)
        else:
            draft = await self._first_ranked(query, walk)
        return await self._present(query, glance, walk, skeleton, draft)

    async def _walk(
        self, query: FeedQuery, glance: Glance, graph: ReaderGraph
    ) -> tuple[Skeleton, Walk]:
        celebrities: frozenset[UserId] = frozenset()
        is_withheld = False
        try:
            celebrities = await graph.celebrities()
        except (Unavailable, DeadlineExceeded):
            is_withheld = True
        skeleton = Skeleton(
            viewer=query.viewer,
            glance=glance,
            celebrities=celebrities,
            index=self._index,
            hot_feeds=self._hot_feeds,
            posts=self._posts,
            window=self._limits.hot_window,
        )
        walk = Walk(
            viewer=query.viewer,
            skeleton=skeleton,
            hydration=self._hydration,
            graph=graph,
            celebrities=celebrities,
            budget=self._limits.budget,
        )
        walk.is_withheld = is_withheld
        return skeleton, walk

    async def _latest(self, query: FeedQuery, walk: Walk) -> _Draft:
        """A first page, newest first."""
        found = await walk.down(ABOVE_ALL, query.size + 1)
        top = found[0].post_id if found else BELOW_ALL
        start = Position(ServedAs.LATEST, top, ABOVE_ALL)
        return _chronological([], found, query.size, start, walk)

    async def _first_ranked(self, query: FeedQuery, walk: Walk) -> _Draft:
        """A first page in ranked order, or newest first when ranking fails."""
        most = self._limits.candidates
        found = await walk.down(ABOVE_ALL, max(most, query.size + 1))
        if not found:
            start = Position(ServedAs.RANKED, BELOW_ALL, ABOVE_ALL)
            return _chronological([], found, query.size, start, walk)
        top = found[0].post_id
        ids = [one.post_id for one in found]
        cut = fitting(top, ids, most)
        window, rest = found[:cut], found[cut:]
        before = ids[cut - 1] if rest else walk.before

        stats = await self._hydration.stats(window)
        ranked = await self._presentation.ranked(query.viewer, window, stats)
        if ranked is None:
            start = Position(ServedAs.CHRONOLOGICAL_FALLBACK, top, ABOVE_ALL)
            return _chronological([], found, query.size, start, walk)
        order, scores = ranked
        start = Position(ServedAs.RANKED, top, before)
        if len(order) > query.size:
            draft = _within(order, ids[:cut], query.size, start)
            return replace(draft, scores=scores, stats=stats)
        # The window is shown whole: whatever follows is newest first.
        draft = _chronological(order, rest, query.size, start, walk)
        return replace(draft, scores=scores, stats=stats)

    async def _next(self, query: FeedQuery, position: Position, walk: Walk) -> _Draft:
        """A later page, in the order that the first one set."""
        above = await walk.ids_above(
            position.before if position.remaining else position.top,
            len(position.window) + SLICE,
        )
        newer = [post_id for post_id in above if post_id > position.top]
        new_posts = len(await walk.judged(newer[:MOST_NEW]))
        shown: list[Candidate] = []
        scores: Mapping[PostId, Score] = {}
        if position.remaining:
            shown, position = await self._rest_of_window(position, above, walk)
            scores = await self._scores_again(query, shown)
        if len(shown) > query.size:
            draft = _within(shown, position.window, query.size, position)
        else:
            room = query.size - len(shown)
            more = await walk.down(position.before, room + 1, is_more=bool(shown))
            draft = _chronological(shown, more, query.size, position, walk)
        return replace(draft, scores=scores, new_posts=new_posts)

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
    ) -> Mapping[PostId, Score]:
        """Scores of a later page; its order was set before and stays."""
        if not query.include_scores or not shown:
            return {}
        stats = await self._hydration.stats(shown)
        ranked = await self._presentation.ranked(query.viewer, shown, stats)
        return ranked[1] if ranked else {}

    async def _present(
        self,
        query: FeedQuery,
        glance: Glance,
        walk: Walk,
        skeleton: Skeleton,
        draft: _Draft,
    ) -> WireBytes:
        if walk.is_withheld and not draft.shown:
            raise Unavailable(
                "RELATIONS_UNAVAILABLE",
                "relations cannot be read, and nothing may be shown without them",
                retry_after=1,
            )
        trimmings = await self._hydration.trimmings(
            query.viewer, draft.shown, did=glance.did, stats=draft.stats
        )
        items = (
            self._presentation.item(
                one,
                trimmings,
                draft.scores.get(one.post_id) if query.include_scores else None,
            )
            for one in draft.shown
        )
        end = EndReason.NONE
        if walk.is_withheld:
            end = EndReason.WITHHELD
        elif draft.is_end:
            end = EndReason.COMPLETE
        return frames.page(
            [item for item in items if item is not None],
            token="" if end else self._token(query, draft.position),
            served_as=draft.position.served_as,
            served_from=skeleton.served_from,
            new_posts=draft.new_posts,
            end_reason=end,
        )

    def _position(self, query: FeedQuery) -> Position | None:
        if not query.token:
            return None
        return Position.decode(
            self._tokens.open(query.token, scope=_scope(query), reader=query.viewer)
        )

    def _token(self, query: FeedQuery, position: Position) -> str:
        return self._tokens.seal(
            scope=_scope(query), reader=query.viewer, position=position.encode()
        )


def _scope(query: FeedQuery) -> str:
    """The list and all arguments that shape it."""
    return (
        f"GetHomeFeed order={query.order.name} refresh={query.refresh:d}"
        f" scores={query.include_scores:d}"
    )


def _within(
    order: Sequence[Candidate],
    window: Sequence[PostId],
    size: int,
    position: Position,
) -> _Draft:
    """A page of a window that goes on behind it."""
    remaining = [one.post_id for one in order[size:]]
    behind = replace(position, window=window, remaining=remaining)
    return _Draft(order[:size], behind, is_end=False)


def _chronological(
    ranked: Sequence[Candidate],
    older: Sequence[Candidate],
    size: int,
    position: Position,
    walk: Walk,
) -> _Draft:
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
    return _Draft(shown, behind, is_end=is_end)
