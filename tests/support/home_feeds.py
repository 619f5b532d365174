"""A home feed without engines: a world that fills the twins of its stores.

The peers answer from the world, and fail when told to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import user_pb2
from feedmesh.ingest.v1 import post_pb2

from chassis.errors import MeshError, Unavailable
from chassis.ids import floor_of, ms_of
from chassis.paging import PageTokens
from chassis.testing import NOON, FakeClock

from domain.visibility import PostFacts, Relation, UserState, Visibility
from svc_feed import frames
from svc_feed.archive import Archive
from svc_feed.cached import HOLD, CachedGraphs, CachedPeople, Freshness
from svc_feed.cached_posts import CachedPosts, Sizes
from svc_feed.cold import ColdFeeds
from svc_feed.drafts import Drafts
from svc_feed.home_feed import HomeFeed
from svc_feed.hydration import Hydration
from svc_feed.model import (
    ABOVE_ALL,
    BELOW_ALL,
    Candidate,
    Changes,
    Entry,
    FeedQuery,
    Followee,
    Glance,
    Order,
    Post,
    PostId,
    Profile,
    Ranking,
    Reach,
    Record,
    Relations,
    Score,
    Stats,
    UserId,
)
from svc_feed.presentation import Presentation
from svc_feed.pull import FeedPull
from svc_feed.rebuild import FeedRebuild
from svc_feed.refresh import Refreshes
from tests.support.feed_twins import (
    MemoryFeedIndex,
    MemoryHotFeeds,
    MemoryNotes,
    MemoryReaders,
    down,
)

A_DAY = timedelta(days=1)

# Accounts of the day before the clock of tests, and one that is older than most.
ANN, BEN, CAT, DAN, STAR = (
    UserId(floor_of(NOON - A_DAY) + number) for number in range(1, 6)
)
OLD = UserId(6)

STRANGER = Relation()
FOLLOWING = Relation(is_following=True)
MUTING = Relation(is_following=True, is_muting=True)
BLOCKING = Relation(is_following=True, is_blocking=True)
BLOCKED = Relation(is_following=True, is_blocked_by=True)
SUSPENDED = Relation(is_following=True, state=UserState.SUSPENDED)
DELETED = Relation(is_following=True, state=UserState.DELETED)

NO_STATS = Stats(0, 0, 0, b"")

REFRESH = timedelta(seconds=5)
PULLED = timedelta(seconds=30)


class World:
    """People, posts and edges of one test, and the peers that tell of them."""

    def __init__(
        self, *, candidates: int = 10, budget: int = 600, hot_window: int = 20
    ) -> None:
        self.clock = FakeClock()
        self.readers = MemoryReaders(
            clock=self.clock, hot_ttl=A_DAY, idle_after=30 * A_DAY
        )
        self.index = MemoryFeedIndex(passes_over=self.readers.passes_over)
        self.hot_feeds = MemoryHotFeeds(window=hot_window)
        self.freshness = Freshness(clock=self.clock)
        self.down: set[str] = set()
        """Which peers do not answer: graph, ingest, rank."""
        self.calls: dict[str, int] = {}
        self.timed: list[tuple[str, bool]] = []
        """What was pulled, and whether it was done."""
        self.noticed: list[UserId] = []
        """Whose index was to be looked after."""
        self.edges: dict[tuple[UserId, UserId], Relation] = {}
        self.since_ms: dict[tuple[UserId, UserId], int] = {}
        self.followers_of: dict[UserId, int] = {}
        self.celebrities: set[UserId] = set()
        self.posts: dict[PostId, post_pb2.Post] = {}
        self.did: dict[UserId, dict[PostId, int]] = {}
        self.own: dict[UserId, list[Entry]] = {}
        """What Valkey tells of the newest posts of readers."""
        self.marks: dict[UserId, int] = {}
        self.changes = Changes(is_reset=True)
        self.ranking = Ranker(self)
        self._next = floor_of(self.clock.now())
        posts = CachedPosts(
            copies=_NoCopies(),
            records=self,
            freshness=self.freshness,
            sizes=Sizes(posts=1_000, readers=100, celebrities=100),
        )
        self.pull = FeedPull(
            graph=self,
            records=self,
            clock=self.clock,
            index_age=90 * A_DAY,
            in_flight=2,
        )
        self.rebuild = FeedRebuild(
            index=self.index,
            hot_feeds=self.hot_feeds,
            readers=self.readers,
            pull=self.pull,
            watch=self,
            clock=self.clock,
            seconds=5,
            at_once=1,
        )
        self.notes = MemoryNotes(clock=self.clock, last_kept=REFRESH)
        presentation = Presentation(ranker=self.ranking)
        hydration = Hydration(
            posts=posts,
            people=CachedPeople(people=self, freshness=self.freshness, max_users=100),
        )
        self.home_feed = HomeFeed(
            glances=self,
            near=self.freshness,
            graphs=CachedGraphs(graph=self, freshness=self.freshness, max_readers=100),
            cold=ColdFeeds(
                index=self.index,
                hot_feeds=self.hot_feeds,
                readers=self.readers,
                pull=self.pull,
                rebuild=self.rebuild,
                repairs=self,
                clock=self.clock,
                window=hot_window,
                pulled_ttl=PULLED,
                seconds=5,
            ),
            archive=Archive(pull=self.pull, clock=self.clock),
            posts=posts,
            hydration=hydration,
            drafts=Drafts(
                hydration=hydration, presentation=presentation, candidates=candidates
            ),
            presentation=presentation,
            refreshes=Refreshes(notes=self.notes, clock=self.clock, every=REFRESH),
            notes=self.notes,
            repairs=self,
            tokens=PageTokens(keys={"k": b"k" * 32}, clock=self.clock, ttl=A_DAY),
            budget=budget,
        )

    # What happens in the world

    def follow(self, reader: UserId, author: UserId) -> None:
        self.relate(reader, author, FOLLOWING)

    def relate(self, reader: UserId, author: UserId, relation: Relation) -> None:
        """Sets the relation anew, and says so as svc_graph does."""
        before = self.edges.get((reader, author), STRANGER)
        if relation.is_following and not before.is_following:
            self.since_ms[reader, author] = ms_of(self._next) + 1
        self.edges[reader, author] = relation
        self.marks[reader] = self.marks.get(reader, 0) + 1

    async def post(
        self,
        author: UserId,
        *,
        is_fanned_out: bool = True,
        visibility: Visibility = Visibility.PUBLIC,
        share_of: PostId = BELOW_ALL,
        quote_of: PostId = BELOW_ALL,
    ) -> PostId:
        """A post, in the feeds of all who follow its author now."""
        self._next += 1 << 22
        post_id = PostId(self._next)
        self.posts[post_id] = post_pb2.Post(
            post_id=post_id,
            author_id=author,
            text=f"post {post_id}",
            visibility=post_pb2.Visibility.ValueType(visibility),
            share_of=share_of,
            quote_of=quote_of,
        )
        if is_fanned_out:
            await self.place(post_id)
        return post_id

    async def place(self, post_id: PostId) -> None:
        """Fans a post out, as its consumer does."""
        author = UserId(self.posts[post_id].author_id)
        entry = Entry(post_id, author)
        viewers = [author]
        if author not in self.celebrities:
            viewers += [a for (a, b), edge in self.edges.items() if b == author]
        await self.index.add(viewers, entry)
        with suppress(MeshError):
            await self.hot_feeds.append(viewers, entry)

    def skip_to_now(self) -> None:
        """Posts from here on have ids of the clock's time."""
        self._next = floor_of(self.clock.now())

    async def posts_of(self, author: UserId, count: int) -> list[PostId]:
        """Several posts, newest first."""
        return [await self.post(author) for _ in range(count)][::-1]

    # Reading

    async def warm_up(self, reader: UserId) -> None:
        """Reads until what is near is kept."""
        await self.page(reader)
        self.clock.advance(HOLD + 1)
        await self.page(reader)

    async def page(
        self,
        reader: UserId,
        *,
        order: Order = Order.LATEST,
        size: int = 20,
        token: str = "",
        at_least: int = 0,
        scores: bool = False,
        refresh: bool = False,
    ) -> feed_pb2.GetHomeFeedResponse:
        page = await self.home_feed.page(
            FeedQuery(reader, order, size, token, refresh, scores, at_least)
        )
        return feed_pb2.GetHomeFeedResponse.FromString(page.body)

    async def new_post_count(self, reader: UserId) -> int:
        return await self.home_feed.new_post_count(reader, min_graph_version=0)

    async def pages(
        self, reader: UserId, *, order: Order = Order.LATEST, size: int = 20
    ) -> AsyncIterator[feed_pb2.GetHomeFeedResponse]:
        """All pages of one session."""
        token = ""
        while True:
            page = await self.page(reader, order=order, size=size, token=token)
            yield page
            token = page.next_page_token
            if not token:
                return

    async def all_ids(
        self, reader: UserId, *, order: Order = Order.LATEST, size: int = 20
    ) -> list[PostId]:
        return [
            post_id
            async for page in self.pages(reader, order=order, size=size)
            for post_id in shown(page)
        ]

    # Ports

    def took(self, kind: str, seconds: float, *, is_done: bool) -> None:
        self.timed.append((kind, is_done))

    def notice(self, viewer: UserId) -> None:
        self.noticed.append(viewer)

    async def take(self, viewer: UserId, *, refreshing: Order | None = None) -> Glance:
        changes, self.changes = self.changes, Changes()
        try:
            hot = await self.hot_feeds.look(viewer)
        except Unavailable:
            return Glance(None, None, None, None, Changes(is_reset=True), False)
        return Glance(
            hot=hot,
            mark=self.marks.get(viewer),
            own=self.own.get(viewer),
            did=None,
            changes=changes,
            top=self.notes.tops.get(viewer),
            last=self.notes.last(viewer, refreshing) if refreshing else None,
        )

    async def relations(self, viewer: UserId, ids: Sequence[UserId]) -> Relations:
        self._ask("graph")
        return {one: self.edges.get((viewer, one), Relation()) for one in ids}

    async def followed_celebrities(self, viewer: UserId) -> frozenset[UserId]:
        self._ask("graph")
        return frozenset(
            b
            for (a, b), edge in self.edges.items()
            if a == viewer and b in self.celebrities and edge.is_following
        )

    async def reach(self, author: UserId) -> Reach:
        self._ask("graph")
        count = sum(b == author for _, b in self.edges)
        following = sum(a == author for a, _ in self.edges)
        is_celebrity = author in self.celebrities
        return Reach(count, is_celebrity, not is_celebrity, following)

    async def followers(
        self, author: UserId, *, after: UserId
    ) -> AsyncGenerator[list[UserId]]:
        self._ask("graph")
        for (reader, followed), edge in sorted(self.edges.items(), key=_ids):
            if followed == author and edge.is_following and reader > after:
                yield [reader]

    async def followee(self, viewer: UserId, author: UserId) -> Followee | None:
        self._ask("graph")
        edge = self.edges.get((viewer, author), STRANGER)
        return self._followee(viewer, author) if edge.is_following else None

    async def following(self, viewer: UserId) -> AsyncIterator[list[Followee]]:
        self._ask("graph")
        for (reader, followed), edge in sorted(self.edges.items(), key=_ids):
            if reader == viewer and edge.is_following:
                yield [self._followee(viewer, followed)]

    async def complete_reach_change(self, author: UserId, version: int) -> bool:
        self._ask("graph")
        self.celebrities.discard(author)
        return True

    def _followee(self, viewer: UserId, author: UserId) -> Followee:
        since_ms = self.since_ms.get((viewer, author), 0)
        return Followee(author, since_ms, author in self.celebrities)

    async def profiles(self, ids: Sequence[UserId]) -> Mapping[UserId, Profile]:
        self._ask("graph")
        found = {}
        for one in ids:
            body = user_pb2.User(user_id=one, handle=f"u{one}").SerializeToString()
            followers = self.followers_of.get(one, 0)
            found[one] = Profile(body, frames.nested(2, body), followers)
        return found

    async def records(
        self, ids: Sequence[PostId], *, viewer: UserId
    ) -> Mapping[PostId, Record]:
        self._ask("ingest")
        did = self.did.get(viewer, {})
        return {
            one: Record(_stored(self.posts[one]), NO_STATS, did.get(one, 0))
            for one in ids
            if one in self.posts
        }

    async def recents(
        self,
        authors: Sequence[UserId],
        *,
        limit: int,
        after: PostId = BELOW_ALL,
        before: PostId = ABOVE_ALL,
    ) -> Mapping[UserId, Sequence[Entry]]:
        self._ask("recents")
        found: dict[UserId, list[Entry]] = {author: [] for author in authors}
        for post_id in sorted(self.posts, reverse=True):
            author = UserId(self.posts[post_id].author_id)
            if author in found and after < post_id < before:
                found[author].append(Entry(post_id, author))
        return {author: entries[:limit] for author, entries in found.items()}

    def _ask(self, peer: str) -> None:
        self.calls[peer] = self.calls.get(peer, 0) + 1
        if peer in self.down:
            raise down()


class Ranker:
    """Ranker that answers oldest first, or whatever a test puts in."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.answer: Sequence[tuple[PostId, Score]] | None = None
        """Best first."""

    async def rank(
        self,
        viewer: UserId,
        candidates: Sequence[Candidate],
        stats: Mapping[PostId, Stats],
    ) -> Ranking:
        self._world._ask("rank")
        answer = self.answer
        if answer is None:
            answer = [
                (one.post_id, Score(float(place), [("recency", float(place))]))
                for place, one in enumerate(reversed(candidates))
            ]
        return Ranking([post_id for post_id, _ in answer], dict(answer).get)


class _NoCopies:
    """PostCopies that hold nothing."""

    async def posts(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        return {}

    async def stats(self, ids: Sequence[PostId]) -> Mapping[PostId, Stats]:
        return {}


def shown(page: feed_pb2.GetHomeFeedResponse) -> list[PostId]:
    """The ids on a page, in reading order."""
    return [PostId(item.post.post_id) for item in page.items]


def _stored(post: post_pb2.Post) -> Post:
    body = post.SerializeToString()
    facts = PostFacts(
        post.post_id, post.author_id, post.visibility, post.share_of, post.quote_of
    )
    return Post(facts, body, frames.nested(1, body))


def _ids(edge: tuple[tuple[UserId, UserId], Relation]) -> tuple[UserId, UserId]:
    return edge[0]
