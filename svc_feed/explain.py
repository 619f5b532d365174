"""Why a post is in a reader's home feed, or why it is not.

Asks the owners themselves, and nothing that is near: who asks for an explanation
doubts what the reader saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from chassis import ids
from chassis.clock import Clock
from chassis.errors import NotFound

from domain.visibility import Visibility

from .model import (
    BACKFILL_AGE,
    BACKFILL_POSTS,
    EdgeState,
    Entry,
    Explanation,
    Followee,
    HiddenBy,
    Placement,
    Post,
    PostId,
    ReaderState,
    UserId,
)
from .ports import FeedIndex, Graph, HotFeeds, PostRecords, Readers
from .rules import Rules
from .verdicts import hidden_by, summary

NOBODY = UserId(0)

_BACKFILL_MS = BACKFILL_AGE // timedelta(milliseconds=1)
_PULLED = (EdgeState.PULLED_READER, EdgeState.IDLE_READER)


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known of one reader and one post."""

    viewer: UserId
    post_id: PostId
    author: UserId
    held: Entry | None
    hot: Entry | None
    posts: dict[PostId, Post]
    """The post and what it shares or quotes, as far as they exist."""

    state: ReaderState
    followee: Followee | None


class FeedExplanations:
    """Explains single posts in single feeds."""

    def __init__(
        self,
        *,
        index: FeedIndex,
        hot_feeds: HotFeeds,
        readers: Readers,
        graph: Graph,
        records: PostRecords,
        clock: Clock,
        index_age: timedelta,
        settle: timedelta,
    ) -> None:
        """`index_age`: how old the oldest post of a feed may be.

        `settle`: how long fan-out may take before a post counts as missing.
        """
        self._index = index
        self._hot_feeds = hot_feeds
        self._readers = readers
        self._graph = graph
        self._records = records
        self._clock = clock
        self._index_age = index_age
        self._settle = settle

    async def explain(self, viewer: UserId, post_id: PostId) -> Explanation:
        """Raises NotFound for a post of which nothing is left, Unavailable."""
        case = await self._case(viewer, post_id)
        edge = self._edge(case)
        belongs = await self._belongs(case)
        placement = self._placement(case, edge, belongs=belongs)
        hidden = await self._hidden_by(case)
        is_there = (
            bool(case.held or case.hot)
            or edge in (EdgeState.OWN, EdgeState.PULLED_CELEBRITY)
            or (belongs and edge in _PULLED)
        )
        is_recent = post_id >= self._floor(self._index_age)
        return Explanation(
            is_in_feed=is_there and is_recent and hidden is HiddenBy.NOTHING,
            author_id=case.author,
            edge=edge,
            placement=placement,
            is_hot=case.hot is not None,
            hidden_by=hidden,
            last_read=case.state.last_read,
            summary=summary(edge, placement, hidden, is_recent=is_recent),
        )

    async def _case(self, viewer: UserId, post_id: PostId) -> _Case:
        newest = await self._index.newest(viewer, limit=1, before=PostId(post_id + 1))
        feed = await self._hot_feeds.look(viewer)
        held = next((one for one in newest if one.post_id == post_id), None)
        hot = (
            next((one for one in feed.entries if one.post_id == post_id), None)
            if (feed)
            else None
        )
        posts = await self._posts(post_id)
        if post_id in posts:
            author = UserId(posts[post_id].facts.author_id)
        elif known := held or hot:
            author = known.author_id
        else:
            raise NotFound("POST_NOT_FOUND", "there is no such post")
        followee = None
        if author != viewer:
            followee = await self._graph.followee(viewer, author)
        state = await self._readers.state(viewer)
        return _Case(viewer, post_id, author, held, hot, posts, state, followee)

    async def _posts(self, post_id: PostId) -> dict[PostId, Post]:
        found: dict[PostId, Post] = {}
        records = await self._records.records([post_id], viewer=NOBODY)
        if post_id not in records:
            return found
        found[post_id] = records[post_id].post
        facts = found[post_id].facts
        if original := PostId(facts.share_of or facts.quote_of):
            records = await self._records.records([original], viewer=NOBODY)
            found.update((key, record.post) for key, record in records.items())
        return found

    def _edge(self, case: _Case) -> EdgeState:
        if case.author == case.viewer:
            return EdgeState.OWN
        if case.followee is None:
            return EdgeState.NONE
        if case.followee.is_celebrity:
            return EdgeState.PULLED_CELEBRITY
        if case.state.pulls:
            return EdgeState.PULLED_READER
        if not case.state.is_whole or self._readers.is_idle(case.viewer, case.state):
            return EdgeState.IDLE_READER
        return EdgeState.PUSHED

    async def _belongs(self, case: _Case) -> bool:
        """Whether the post is one that the follow brings into the feed."""
        post = case.posts.get(case.post_id)
        if post is None or case.post_id < self._floor(self._index_age):
            return False
        if case.followee is None:
            return case.author == case.viewer
        if post.facts.visibility == Visibility.PRIVATE:
            return False
        since_ms = case.followee.since_ms
        if case.post_id >= ids.floor_of_ms(since_ms):
            return True
        if case.post_id < ids.floor_of_ms(since_ms - _BACKFILL_MS):
            return False
        newer = await self._records.recents(
            [case.author],
            after=case.post_id,
            before=PostId(ids.floor_of_ms(since_ms)),
            limit=BACKFILL_POSTS,
        )
        return len(newer[case.author]) < BACKFILL_POSTS

    def _placement(self, case: _Case, edge: EdgeState, *, belongs: bool) -> Placement:
        if case.held is not None:
            return Placement.PLACED
        is_due = belongs and edge in (EdgeState.OWN, EdgeState.PUSHED)
        if case.followee and case.post_id < ids.floor_of_ms(case.followee.since_ms):
            # A follow brings along what is there when it happens, if anything.
            is_due = False
        if not is_due:
            return Placement.NOT_NEEDED
        if case.post_id >= self._floor(self._settle):
            return Placement.PENDING
        return Placement.MISSING

    async def _hidden_by(self, case: _Case) -> HiddenBy:
        authors = {UserId(post.facts.author_id) for post in case.posts.values()}
        relations = await self._graph.relations(
            case.viewer, list(authors - {case.viewer})
        )
        rules = Rules(case.viewer, relations, case.posts, frozenset())
        return hidden_by(rules, case.post_id)

    def _floor(self, age: timedelta) -> PostId:
        """The smallest id of a post no older than that."""
        return PostId(ids.floor_of(self._clock.now() - age))
