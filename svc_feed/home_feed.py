"""Home feed pages: skeleton, hydration, rules, presentation, in that order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chassis import ids
from chassis.errors import DeadlineExceeded, Unavailable
from chassis.paging import PageTokens

from . import frames
from .archive import Archive
from .cold import ColdFeeds
from .drafts import MOST_NEW, Draft, Drafts
from .hydration import Hydration
from .model import (
    BELOW_ALL,
    EndReason,
    FeedQuery,
    Glance,
    Order,
    Page,
    PostId,
    ServedFrom,
    UserId,
)
from .ports import Glances, NearCopies, Notes, Posts, ReaderGraph, ReaderGraphs, Repairs
from .position import Position
from .presentation import Presentation
from .refresh import LastPage, Refreshes, newest
from .skeleton import Skeleton
from .walk import Walk


@dataclass(frozen=True, slots=True)
class _Visit:
    """What one call looks through."""

    glance: Glance
    skeleton: Skeleton
    walk: Walk


class HomeFeed:
    """Makes pages. Holds nothing of its readers between them."""

    def __init__(
        self,
        *,
        glances: Glances,
        near: NearCopies,
        graphs: ReaderGraphs,
        cold: ColdFeeds,
        archive: Archive,
        posts: Posts,
        hydration: Hydration,
        drafts: Drafts,
        presentation: Presentation,
        refreshes: Refreshes,
        notes: Notes,
        repairs: Repairs,
        tokens: PageTokens,
        budget: int,
    ) -> None:
        """`budget`: entries that one page may look at."""
        self._glances = glances
        self._near = near
        self._graphs = graphs
        self._cold = cold
        self._archive = archive
        self._posts = posts
        self._hydration = hydration
        self._drafts = drafts
        self._presentation = presentation
        self._refreshes = refreshes
        self._notes = notes
        self._repairs = repairs
        self._tokens = tokens
        self._budget = budget

    async def page(self, query: FeedQuery) -> Page:
        """One page, as a GetHomeFeedResponse.

        Raises InvalidArgument for a token that is not the reader's or not of this
        query, Unavailable when nothing can be told or nothing may be shown.
        """
        position = self._position(query)
        is_refresh = query.refresh and position is None
        visit = await self._visit(
            query.viewer,
            query.min_graph_version,
            refreshing=query.order if is_refresh else None,
        )
        if position is not None:
            draft = await self._drafts.following(query, position, visit.walk)
            return await self._present(query, visit, draft)
        if is_refresh:
            last = self._refreshes.recall(query.viewer, query.order, visit.glance)
            if last is not None and len(last.ids) <= query.size:
                return await self._again(query, visit, last)
            self._repairs.notice(query.viewer)
        draft = await self._first(query, visit.walk)
        new_posts = await self._new_posts(query.viewer, visit, draft)
        page = await self._present(query, visit, draft, new_posts)
        if not visit.walk.is_withheld:
            self._note(query, visit, draft, page.end, new_posts)
        return page

    async def new_post_count(self, viewer: UserId, *, min_graph_version: int) -> int:
        """How many posts are newer than the last top, up to 100; moves nothing.

        Raises Unavailable.
        """
        visit = await self._visit(viewer, min_graph_version, is_reading=False)
        top = visit.glance.top
        if top is None:
            state = visit.skeleton.reader or await self._cold.state(viewer)
            top = _read_until(state.last_read)
        count = await visit.walk.count_above(top, MOST_NEW)
        if visit.walk.is_withheld:
            raise _withheld()
        return count

    async def _visit(
        self,
        viewer: UserId,
        min_graph_version: int,
        *,
        refreshing: Order | None = None,
        is_reading: bool = True,
    ) -> _Visit:
        glance = await self._glances.take(viewer, refreshing=refreshing)
        self._near.apply(glance.changes)
        graph = self._graphs.reader(
            viewer, mark=glance.mark, at_least=min_graph_version
        )
        celebrities = await _celebrities(graph)
        skeleton = Skeleton(
            viewer=viewer,
            glance=glance,
            celebrities=celebrities or frozenset(),
            cold=self._cold,
            posts=self._posts,
            is_reading=is_reading,
        )
        walk = Walk(
            viewer=viewer,
            skeleton=skeleton,
            hydration=self._hydration,
            graph=graph,
            celebrities=celebrities or frozenset(),
            budget=self._budget,
        )
        walk.is_withheld = celebrities is None
        return _Visit(glance, skeleton, walk)

    async def _first(self, query: FeedQuery, walk: Walk) -> Draft:
        if query.order is Order.LATEST:
            return await self._drafts.latest(query, walk)
        return await self._drafts.ranked(query, walk)

    async def _again(self, query: FeedQuery, visit: _Visit, last: LastPage) -> Page:
        """The last page, of what may still be shown of it."""
        shown = await visit.walk.judged(last.ids)
        draft = Draft(shown, last.position, is_end=bool(last.end), end=last.end)
        visit.skeleton.served_from = ServedFrom.CACHED_REFRESH
        return await self._present(query, visit, draft, last.new_posts)

    async def _new_posts(self, viewer: UserId, visit: _Visit, draft: Draft) -> int:
        """How many posts are newer than the top before this page, up to 100."""
        top = visit.glance.top
        if top is None:
            reader = visit.skeleton.reader
            top = _read_until(reader.last_read if reader else None)
        judged = draft.judged[:MOST_NEW]
        if not judged or judged[-1].post_id <= top or visit.walk.is_end:
            return sum(one.post_id > top for one in judged)
        if len(judged) == MOST_NEW:
            return MOST_NEW
        return await visit.walk.count_above(top, MOST_NEW)

    async def _present(
        self,
        query: FeedQuery,
        visit: _Visit,
        draft: Draft,
        new_posts: int | None = None,
    ) -> Page:
        walk = visit.walk
        if walk.is_withheld and not draft.shown:
            raise _withheld()
        trimmings = await self._hydration.trimmings(
            query.viewer, draft.shown, did=visit.glance.did, stats=draft.stats
        )
        score = draft.ranking.score if draft.ranking and query.include_scores else None
        items = [
            self._presentation.item(
                one, trimmings, score(one.post_id) if score else None
            )
            for one in draft.shown
        ]
        end = await self._end(query.viewer, visit, draft)
        body = frames.page(
            [item for item in items if item is not None],
            token="" if end else self._token(query, draft.position),
            served_as=draft.position.served_as,
            served_from=visit.skeleton.served_from,
            new_posts=draft.new_posts if new_posts is None else new_posts,
            end_reason=end,
        )
        return Page(body, draft.position.served_as, visit.skeleton.served_from, end)

    async def _end(self, viewer: UserId, visit: _Visit, draft: Draft) -> EndReason:
        """Why there is no next page; NONE: there is one."""
        if visit.walk.is_withheld:
            return EndReason.WITHHELD
        if draft.end is not None or not draft.is_end:
            return draft.end or EndReason.NONE
        if visit.skeleton.is_cut or await self._archive.holds_more(viewer):
            return EndReason.ARCHIVE_EDGE
        return EndReason.COMPLETE

    def _note(
        self,
        query: FeedQuery,
        visit: _Visit,
        draft: Draft,
        end: EndReason,
        new_posts: int,
    ) -> None:
        """Keeps what the next first page, count or refresh wants to know."""
        top = draft.position.top
        if top > (visit.glance.top or BELOW_ALL):
            self._notes.note_top(query.viewer, top)
        if query.refresh:
            last = LastPage(
                ids=[one.post_id for one in draft.shown],
                position=draft.position,
                end=end,
                new_posts=new_posts,
                own=newest(visit.glance.own),
            )
            self._refreshes.remember(query.viewer, query.order, last)

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


async def _celebrities(graph: ReaderGraph) -> frozenset[UserId] | None:
    """Whom the reader pulls; None when that cannot be told."""
    try:
        return await graph.celebrities()
    except (Unavailable, DeadlineExceeded):
        return None


def _read_until(last_read: datetime | None) -> PostId:
    """Where somebody who read then has read until."""
    return BELOW_ALL if last_read is None else PostId(ids.floor_of(last_read))


def _withheld() -> Unavailable:
    return Unavailable(
        "RELATIONS_UNAVAILABLE",
        "relations cannot be read, and nothing may be shown without them",
        retry_after=1,
    )


def _scope(query: FeedQuery) -> str:
    """The list and all arguments that shape it."""
    return (
        f"GetHomeFeed order={query.order.name} refresh={query.refresh:d}"
        f" scores={query.include_scores:d}"
    )
