"""A home feed without engines: twins of its ports, and a world that fills them.

The index and the hot feeds pass the contract suites of their ports; the peers answer
from the world, and fail when told to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import user_pb2
from feedmesh.ingest.v1 import post_pb2

from chassis.errors import MeshError, Unavailable
from chassis.ids import floor_of
from chassis.paging import PageTokens
from chassis.testing import FakeClock

from domain.visibility import PostFacts, Relation, UserState, Visibility
from svc_feed import frames
from svc_feed.cached import HOLD, CachedGraphs, CachedPeople, Freshness
from svc_feed.cached_posts import CachedPosts, Sizes
from svc_feed.home_feed import HomeFeed, Limits
from svc_feed.hydration import Hydration
from svc_feed.model import (
    ABOVE_ALL,
    BELOW_ALL,
    Candidate,
    Changes,
    Entry,
    FeedQuery,
    Glance,
    Hot,
    Order,
    Post,
    PostId,
    Reach,
    Record,
    Relations,
    Score,
    Stats,
    UserId,
    WireBytes,
)
from svc_feed.presentation import Presentation

ANN, BEN, CAT, DAN, STAR = map(UserId, (1, 2, 3, 4, 5))

STRANGER = Relation()
FOLLOWING = Relation(is_following=True)
MUTING = Relation(is_following=True, is_muting=True)
BLOCKING = Relation(is_following=True, is_blocking=True)
BLOCKED = Relation(is_following=True, is_blocked_by=True)
SUSPENDED = Relation(is_following=True, state=UserState.SUSPENDED)
DELETED = Relation(is_following=True, state=UserState.DELETED)

NO_STATS = Stats(0, 0, 0, frames.nested(3, b""))


def down() -> Unavailable:
    return Unavailable("DEPENDENCY_UNAVAILABLE", "it is down in this test")


class MemoryFeedIndex:
    """FeedIndex in memory."""

    def __init__(self) -> None:
        self.is_down = False
        self.reads = 0
        self._feeds: dict[UserId, dict[PostId, UserId]] = {}

    async def add(self, viewers: Sequence[UserId], entry: Entry) -> None:
        for viewer in viewers:
            await self.fill(viewer, [entry])

    async def fill(self, viewer: UserId, entries: Sequence[Entry]) -> None:
        self._check()
        for post_id, author_id in entries:
            self._feeds.setdefault(viewer, {}).setdefault(post_id, author_id)

    async def newest(
        self, viewer: UserId, *, limit: int, before: PostId = ABOVE_ALL
    ) -> list[Entry]:
        self._check()
        self.reads += 1
        feed = self._feeds.get(viewer, {})
        older = sorted((one for one in feed.items() if one[0] < before), reverse=True)
        return [Entry(*one) for one in older[:limit]]

    async def remove_author(self, viewer: UserId, author: UserId) -> None:
        self._check()
        feed = self._feeds.get(viewer, {})
        self._feeds[viewer] = {one: by for one, by in feed.items() if by != author}

    async def remove_post(self, viewers: Sequence[UserId], post: PostId) -> None:
        self._check()
        for viewer in viewers:
            self._feeds.get(viewer, {}).pop(post, None)

    async def erase(self, user: UserId) -> None:
        self._check()
        self._feeds.pop(user, None)
        for viewer in self._feeds:
            await self.remove_author(viewer, user)

    def _check(self) -> None:
        if self.is_down:
            raise down()


@dataclass
class _Stored:
    floor: PostId = BELOW_ALL
    build: str = ""
    entries: list[Entry] = field(default_factory=list)


class MemoryHotFeeds:
    """HotFeeds in memory."""

    def __init__(self, *, window: int) -> None:
        self.is_down = False
        self._window = window
        self._feeds: dict[UserId, _Stored] = {}
        self._builds = 0

    async def append(self, viewers: Sequence[UserId], entry: Entry) -> None:
        self._check()
        for viewer in viewers:
            if feed := self._feeds.get(viewer):
                feed.entries.append(entry)
                if len(feed.entries) > 2 * self._window:
                    cut = feed.entries[: -self._window]
                    feed.floor = max(feed.floor, *(one.post_id for one in cut))
                    del feed.entries[: -self._window]

    async def begin(self, viewer: UserId) -> str | None:
        self._check()
        if viewer in self._feeds:
            return None
        self._builds += 1
        self._feeds[viewer] = _Stored(build=str(self._builds))
        return str(self._builds)

    async def finish(self, viewer: UserId, build: str, hot: Sequence[Entry]) -> None:
        self._check()
        feed = self._feeds.get(viewer)
        if feed is None or feed.build != build:
            return
        feed.build = ""
        feed.entries[:0] = reversed(hot)
        if len(hot) == self._window:
            feed.floor = max(feed.floor, PostId(hot[-1].post_id - 1))

    async def forget(self, viewers: Sequence[UserId]) -> None:
        self._check()
        for viewer in viewers:
            self._feeds.pop(viewer, None)

    def lose_all(self) -> None:
        """A restart without data."""
        self._feeds.clear()

    async def look(self, viewer: UserId) -> Hot | None:
        self._check()
        feed = self._feeds.get(viewer)
        if feed is None or feed.build:
            return None
        kept = {one for one in feed.entries if one.post_id > feed.floor}
        return Hot(sorted(kept, reverse=True), feed.floor)

    def _check(self) -> None:
        if self.is_down:
            raise down()


class World:
    """People, posts and edges of one test, and the peers that tell of them."""

    def __init__(
        self, *, candidates: int = 10, budget: int = 600, hot_window: int = 20
    ) -> None:
        self.clock = FakeClock()
        self.index = MemoryFeedIndex()
        self.hot_feeds = MemoryHotFeeds(window=hot_window)
        self.freshness = Freshness(clock=self.clock)
        self.down: set[str] = set()
        """Which peers do not answer: graph, ingest, rank."""
        self.calls: dict[str, int] = {}
        self.edges: dict[tuple[UserId, UserId], Relation] = {}
        self.celebrities: set[UserId] = set()
        self.posts: dict[PostId, post_pb2.Post] = {}
        self.did: dict[UserId, dict[PostId, int]] = {}
        self.marks: dict[UserId, int] = {}
        self.changes = Changes(is_reset=True)
        self.ranking = Ranking(self)
        self._next = floor_of(self.clock.now())
        posts = CachedPosts(
            copies=_NoCopies(),
            records=self,
            freshness=self.freshness,
            sizes=Sizes(posts=1_000, readers=100, celebrities=100),
        )
        self.home_feed = HomeFeed(
            glances=self,
            near=self.freshness,
            graphs=CachedGraphs(graph=self, freshness=self.freshness, max_readers=100),
            index=self.index,
            hot_feeds=self.hot_feeds,
            posts=posts,
            hydration=Hydration(
                posts=posts,
                people=CachedPeople(
                    people=self,
                    freshness=self.freshness,
                    max_users=100,
                ),
            ),
            presentation=Presentation(ranker=self.ranking),
            tokens=PageTokens(
                keys={"k": b"k" * 32}, clock=self.clock, ttl=timedelta(days=1)
            ),
            limits=Limits(candidates, budget, hot_window),
        )

    # What happens in the world

    def follow(self, reader: UserId, author: UserId) -> None:
        self.relate(reader, author, FOLLOWING)

    def relate(self, reader: UserId, author: UserId, relation: Relation) -> None:
        """Sets the relation anew, and says so as svc_graph does."""
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
    ) -> feed_pb2.GetHomeFeedResponse:
        raw = await self.home_feed.page(
            FeedQuery(reader, order, size, token, False, scores, at_least)
        )
        return feed_pb2.GetHomeFeedResponse.FromString(raw)

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

    async def take(self, viewer: UserId) -> Glance:
        changes, self.changes = self.changes, Changes()
        try:
            hot = await self.hot_feeds.look(viewer)
        except Unavailable:
            return Glance(None, None, None, None, Changes(is_reset=True), False)
        return Glance(hot, self.marks.get(viewer), None, None, changes)

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
        return Reach(count, author in self.celebrities)

    async def followers(self, author: UserId) -> AsyncIterator[list[UserId]]:
        self._ask("graph")
        for (reader, followed), edge in self.edges.items():
            if followed == author and edge.is_following:
                yield [reader]

    async def profiles(self, ids: Sequence[UserId]) -> Mapping[UserId, WireBytes]:
        self._ask("graph")
        return {
            one: user_pb2.User(user_id=one, handle=f"u{one}").SerializeToString()
            for one in ids
        }

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


class Ranking:
    """Ranker that answers oldest first, or whatever a test puts in."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.answer: Sequence[tuple[PostId, Score]] | None = None

    async def rank(
        self,
        viewer: UserId,
        candidates: Sequence[Candidate],
        stats: Mapping[PostId, Stats],
    ) -> Sequence[tuple[PostId, Score]]:
        self._world._ask("rank")
        if self.answer is not None:
            return self.answer
        return [
            (one.post_id, Score(float(place), [("recency", float(place))]))
            for place, one in enumerate(reversed(candidates))
        ]


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
