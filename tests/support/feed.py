"""svc_feed as its wiring puts it together, with small peers served over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

from google.protobuf.message import Message
from prometheus_client import CollectorRegistry
from pydantic import Field

from feedmesh.feed.v1 import feed_pb2, feed_pb2_grpc
from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc, user_pb2, user_pb2_grpc
from feedmesh.ingest.v1 import events_pb2, post_pb2, post_pb2_grpc
from feedmesh.rank.v1 import rank_pb2, rank_pb2_grpc

from chassis import context, policy
from chassis.auth import Caller, Role, calling_as
from chassis.bus import Bus, open_bus
from chassis.client import ChannelSettings, open_channel
from chassis.clock import SystemClock
from chassis.errors import Unavailable
from chassis.freshness import ChangeLog, RecentList, VersionedBytes, VersionMarks
from chassis.ids import Ids, floor_of, ms_of
from chassis.metrics import measuring
from chassis.postgres import PostgresSettings
from chassis.run import running
from chassis.testing import database, nats, valkey
from chassis.testing.serving import serving
from chassis.valkey import Valkey, open_valkey

from domain.visibility import Relation
from svc_feed.settings import FeedSettings
from svc_feed.wiring import assemble
from svc_rank.convert import candidates_from_pb, ranking_to_pb
from svc_rank.scoring import Weights, rank

WEIGHTS = Weights(1.0, 0.6, 0.8, 6 * 3_600_000, 1_000, 0.6, 0.2)

Posts = dict[int, post_pb2.Post]


@dataclass
class Peers:
    """What svc_graph and svc_ingest know in a test, and whether they answer."""

    edges: dict[tuple[int, int], Relation] = field(default_factory=dict)
    since_ms: dict[tuple[int, int], int] = field(default_factory=dict)
    celebrities: set[int] = field(default_factory=set)
    """Who is pulled."""
    fanned_out: set[int] = field(default_factory=set)
    """Who of them is fanned out all the same, since the reach is changing."""
    streamed: list[int] = field(default_factory=list)
    """Behind which follower each stream of followers began."""
    completed: list[tuple[int, int]] = field(default_factory=list)
    """Changes of reach that were said to be complete."""
    posts: Posts = field(default_factory=dict)
    likes: set[tuple[int, int]] = field(default_factory=set)
    recents: list[list[int]] = field(default_factory=list)
    """Whose newest posts were asked for, call by call."""
    followers: dict[int, int] = field(default_factory=dict)
    """How many follow somebody, as their profile says."""
    down: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    def ask(self, service: str, method: str) -> None:
        self.calls.append(method)
        if service in self.down:
            raise Unavailable("DEPENDENCY_UNAVAILABLE", "down in this test")


class Graph(graph_pb2_grpc.GraphServiceServicer):
    """The part of GraphService that svc_feed asks."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def GetRelations(
        self, request: graph_pb2.GetRelationsRequest, context: object
    ) -> graph_pb2.GetRelationsResponse:
        self._peers.ask("graph", "GetRelations")
        answer = graph_pb2.GetRelationsResponse()
        for user_id in request.user_ids:
            edge = self._peers.edges.get((request.viewer_id, user_id), Relation())
            answer.relations.add(
                user_id=user_id,
                is_following=edge.is_following,
                is_followed_by=edge.is_followed_by,
                is_blocking=edge.is_blocking,
                is_blocked_by=edge.is_blocked_by,
                is_muting=edge.is_muting,
                is_private=edge.is_private,
                state=user_pb2.UserState.ValueType(edge.state),
            )
        return answer

    async def StreamFollowers(
        self, request: graph_pb2.StreamFollowersRequest, context: object
    ) -> AsyncIterator[graph_pb2.StreamFollowersResponse]:
        self._peers.ask("graph", "StreamFollowers")
        self._peers.streamed.append(request.after_user_id)
        followers = sorted(
            one
            for one in self._followers(request.user_id)
            if one > request.after_user_id
        )
        for start in range(0, len(followers), 1_000):
            yield graph_pb2.StreamFollowersResponse(
                follower_ids=followers[start : start + 1_000]
            )

    async def StreamFollowing(
        self, request: graph_pb2.StreamFollowingRequest, context: object
    ) -> AsyncIterator[graph_pb2.StreamFollowingResponse]:
        self._peers.ask("graph", "StreamFollowing")
        followees = sorted(
            followed
            for (viewer, followed), edge in self._peers.edges.items()
            if viewer == request.user_id
            and edge.is_following
            and followed > request.after_user_id
        )
        size = request.page_size or 1_000
        for start in range(0, len(followees), size):
            some = followees[start : start + size]
            yield graph_pb2.StreamFollowingResponse(
                followee_ids=some,
                follow_times_ms=[
                    self._peers.since_ms.get((request.user_id, one), 0) for one in some
                ],
                are_celebrities=[one in self._peers.celebrities for one in some],
            )

    async def CompleteReachChange(
        self, request: graph_pb2.CompleteReachChangeRequest, context: object
    ) -> graph_pb2.CompleteReachChangeResponse:
        self._peers.ask("graph", "CompleteReachChange")
        self._peers.completed.append((request.user_id, request.reach_version))
        is_leaving = request.user_id in self._peers.fanned_out
        self._peers.celebrities.discard(request.user_id)
        self._peers.fanned_out.discard(request.user_id)
        return graph_pb2.CompleteReachChangeResponse(is_completed=is_leaving)

    async def GetReach(
        self, request: graph_pb2.GetReachRequest, context: object
    ) -> graph_pb2.GetReachResponse:
        self._peers.ask("graph", "GetReach")
        is_celebrity = request.user_id in self._peers.celebrities
        return graph_pb2.GetReachResponse(
            follower_count=len(self._followers(request.user_id)),
            is_celebrity=is_celebrity,
            is_fanned_out=not is_celebrity or request.user_id in self._peers.fanned_out,
            following_count=sum(
                viewer == request.user_id and edge.is_following
                for (viewer, _), edge in self._peers.edges.items()
            ),
        )

    async def ListFollowedCelebrities(
        self, request: graph_pb2.ListFollowedCelebritiesRequest, context: object
    ) -> graph_pb2.ListFollowedCelebritiesResponse:
        self._peers.ask("graph", "ListFollowedCelebrities")
        return graph_pb2.ListFollowedCelebritiesResponse(
            user_ids=sorted(
                followed
                for (viewer, followed), edge in self._peers.edges.items()
                if viewer == request.viewer_id
                and edge.is_following
                and followed in self._peers.celebrities
            )
        )

    def _followers(self, user_id: int) -> list[int]:
        return [
            follower
            for (follower, followed), edge in self._peers.edges.items()
            if followed == user_id and edge.is_following
        ]


class Users(user_pb2_grpc.UserServiceServicer):
    """The part of UserService that svc_feed asks."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def BatchGetUsers(
        self, request: user_pb2.BatchGetUsersRequest, context: object
    ) -> user_pb2.BatchGetUsersResponse:
        self._peers.ask("graph", "BatchGetUsers")
        return user_pb2.BatchGetUsersResponse(
            users=[
                user_pb2.User(user_id=user_id, handle=f"u{user_id}")
                for user_id in request.user_ids
            ],
            stats=[
                user_pb2.UserStats(follower_count=self._peers.followers.get(user_id, 0))
                for user_id in request.user_ids
            ],
        )


class Ingest(post_pb2_grpc.PostServiceServicer):
    """The part of PostService that svc_feed asks."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def BatchGetPosts(
        self, request: post_pb2.BatchGetPostsRequest, context: object
    ) -> post_pb2.BatchGetPostsResponse:
        self._peers.ask("ingest", "BatchGetPosts")
        answer = post_pb2.BatchGetPostsResponse()
        for post_id in request.post_ids:
            if post_id in self._peers.posts:
                is_liked = (request.viewer_id, post_id) in self._peers.likes
                answer.posts.add(
                    post=self._peers.posts[post_id],
                    viewer=post_pb2.ViewerState(liked=is_liked),
                )
        return answer

    async def BatchListRecentPosts(
        self, request: post_pb2.BatchListRecentPostsRequest, context: object
    ) -> post_pb2.BatchListRecentPostsResponse:
        self._peers.ask("ingest", "BatchListRecentPosts")
        self._peers.recents.append(list(request.author_ids))
        left = dict.fromkeys(request.author_ids, request.limit or 50)
        answer = post_pb2.BatchListRecentPostsResponse()
        for post_id in sorted(self._peers.posts, reverse=True):
            author = self._peers.posts[post_id].author_id
            if post_id <= request.after_post_id or not left.get(author):
                continue
            if request.before_post_id and post_id >= request.before_post_id:
                continue
            left[author] -= 1
            answer.post_ids.append(post_id)
            answer.author_ids.append(author)
        return answer


class Rank(rank_pb2_grpc.RankServiceServicer):
    """svc_rank's own formula, unless a test says what to answer."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.answer: rank_pb2.RankResponse | None = None

    async def Rank(
        self, request: rank_pb2.RankRequest, context: object
    ) -> rank_pb2.RankResponse:
        self._peers.ask("rank", "Rank")
        if self.answer is not None:
            return self.answer
        return ranking_to_pb(rank(candidates_from_pb(request), WEIGHTS))


class RoomSettings(FeedSettings):
    """Settings of a room under test: its database has a name of its own."""

    database: str = Field(default="", exclude=True)

    @property
    def postgres(self) -> PostgresSettings:
        return PostgresSettings(url=self.database)


@dataclass(frozen=True)
class FeedRoom:
    """svc_feed, running."""

    feed: feed_pb2_grpc.FeedServiceAsyncStub
    peers: Peers
    rank: Rank
    bus: Bus
    valkey: Valkey
    marks: VersionMarks
    log: ChangeLog
    own: RecentList
    copies: VersionedBytes
    ids: Ids
    settings: RoomSettings
    admin_port: int

    async def relate(self, viewer: int, author: int, relation: Relation) -> None:
        """Changes an edge the way svc_graph does."""
        version = self.ids.next()
        await self.marks.begin([viewer], version)
        before = self.peers.edges.get((viewer, author), Relation())
        if relation.is_following and not before.is_following:
            self.peers.since_ms[viewer, author] = ms_of(version)
        self.peers.edges[viewer, author] = relation
        await self.marks.settle([viewer], version)

    async def follow(self, viewer: int, author: int) -> None:
        await self.relate(viewer, author, Relation(is_following=True))

    async def post(self, author: int, **facts: int) -> int:
        """Stores a post and publishes it."""
        post_id = self.store(author, **facts)
        await self.publish_post(post_id)
        return post_id

    def store(self, author: int, **facts: int) -> int:
        """Stores a post that nobody heard of yet."""
        post_id = self.ids.next()
        post = post_pb2.Post(
            post_id=post_id,
            author_id=author,
            text=f"post {post_id}",
            visibility=post_pb2.VISIBILITY_PUBLIC,
        )
        for name, value in facts.items():
            setattr(post, name, value)
        self.peers.posts[post_id] = post
        return post_id

    async def publish_post(self, post_id: int) -> None:
        post = self.peers.posts[post_id]
        await self.publish(
            events_pb2.PostPublished(
                post_id=post_id,
                author_id=post.author_id,
                visibility=post.visibility,
                share_of=post.share_of,
            )
        )

    async def publish(self, event: Message) -> None:
        """Puts an event on the bus, under a message id of its own."""
        await self.bus.publish(
            policy.event_subject(type(event)),
            event.SerializeToString(),
            msg_id=f"test-{self.ids.next()}",
        )

    async def page(
        self,
        reader: int,
        *,
        order: feed_pb2.Order.ValueType = feed_pb2.ORDER_LATEST,
        size: int = 20,
        token: str = "",
        at_least: int = 0,
        refresh: bool = False,
    ) -> feed_pb2.GetHomeFeedResponse:
        with _reading_as(reader), context.at_least(at_least):
            return await self.feed.GetHomeFeed(
                feed_pb2.GetHomeFeedRequest(
                    page_size=size, page_token=token, order=order, refresh=refresh
                )
            )

    async def new_post_count(self, reader: int) -> int:
        with _reading_as(reader):
            answer = await self.feed.GetNewPostCount(feed_pb2.GetNewPostCountRequest())
        return answer.new_post_count

    async def ids_of(self, reader: int, *, size: int = 20) -> list[int]:
        """The ids on the reader's first page, newest first."""
        page = await self.page(reader, size=size)
        return [item.post.post_id for item in page.items]


@asynccontextmanager
async def feed_room(
    *, valkey_port: int = 0, postgres_port: int = 0, **changed: object
) -> AsyncIterator[FeedRoom]:
    """The room on real engines, reached through proxies where ports are given."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        postgres = await enter(database("svc_feed"))
        cache = await enter(valkey())
        nats_settings = await enter(nats())
        peers = Peers()
        ranking = Rank(peers)
        served = await enter(
            serving(
                {
                    graph_pb2_grpc.add_GraphServiceServicer_to_server: Graph(peers),  # type: ignore[abstract] # the rest is not asked for
                    user_pb2_grpc.add_UserServiceServicer_to_server: Users(peers),  # type: ignore[abstract] # as above
                    post_pb2_grpc.add_PostServiceServicer_to_server: Ingest(peers),  # type: ignore[abstract] # as above
                    rank_pb2_grpc.add_RankServiceServicer_to_server: ranking,
                }
            )
        )
        settings = RoomSettings.model_validate(
            {
                "database": _through(postgres.url, postgres_port),
                "valkey_url": _through(cache.url, valkey_port),
                "nats_url": nats_settings.url,
                "target_graph": served.target,
                "target_ingest": served.target,
                "target_rank": served.target,
                "port": 0,
                "admin_port": 0,
                "linger_seconds": 0,
                # Who is made idle by a test is so at once.
                "reading_near": timedelta(0),
                "drain_seconds": 5,
            }
            | changed
        )
        # As `main` does, so that all that is counted is in one place.
        stack.enter_context(measuring(CollectorRegistry()))
        app = await enter(assemble(settings))
        up = await enter(running(app, settings))
        assert up.health is not None
        await up.health.report(is_ready=True)
        channel = await enter(
            open_channel(
                ChannelSettings(
                    target=f"127.0.0.1:{up.port}",
                    service="test",
                    keys=settings.internal_keys,
                    as_caller=True,
                )
            )
        )
        client = await enter(open_valkey(cache))
        yield FeedRoom(
            feed=feed_pb2_grpc.FeedServiceStub(channel),
            peers=peers,
            rank=ranking,
            bus=await enter(open_bus(nats_settings, name="test")),
            valkey=client,
            marks=VersionMarks(client),
            log=ChangeLog(client),
            own=RecentList(client),
            copies=VersionedBytes(client),
            ids=Ids(clock=SystemClock(), node=7),
            settings=settings,
            admin_port=up.admin_port,
        )


def person(number: int) -> int:
    """Somebody whose account was made yesterday."""
    return floor_of(SystemClock().now() - timedelta(days=1)) + number


def _reading_as(reader: int) -> AbstractContextManager[object]:
    return calling_as(Caller(user_id=reader, role=Role.USER))


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    if not port:
        return url
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))
