"""Push processes on real engines and over real gRPC; their peers answer from memory."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.message import Message
from grpc.aio import AioRpcError, ServicerContext, insecure_channel
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc
from feedmesh.graph.v1.events_pb2 import UserDeleted
from feedmesh.graph.v1.graph_pb2_grpc import add_GraphServiceServicer_to_server
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc
from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostPublished, PostUpdated
from feedmesh.ingest.v1.post_pb2_grpc import add_PostServiceServicer_to_server
from feedmesh.push.v1 import push_pb2
from feedmesh.push.v1.push_pb2_grpc import PushServiceStub

from chassis.auth import (
    ANONYMOUS,
    IDENTITY_KEY,
    Caller,
    InternalIdentity,
    Role,
    calling_as,
)
from chassis.bus import Bus, open_bus
from chassis.client import ChannelSettings, open_channel
from chassis.clock import SystemClock
from chassis.ids import Ids
from chassis.policy import event_subject
from chassis.run import running
from chassis.telemetry import measuring
from chassis.testing import nats, valkey
from chassis.testing.serving import serving
from chassis.wire import from_rpc_error

from domain.visibility import UserState, Visibility
from svc_push.model import PostId, UserId
from svc_push.settings import PushSettings
from svc_push.wiring import assemble
from tests.support.ingest import relation_to_pb
from tests.support.push import MemoryGraph, MemoryPosts

Context: TypeAlias = ServicerContext[Any, Any]

# Longer than any test: where heartbeats are not what is tested, there are none.
NEVER = 600


class GraphServicer(graph_pb2_grpc.GraphServiceServicer):
    """What svc_push asks of svc_graph, answered from memory."""

    def __init__(self, graph: MemoryGraph) -> None:
        self._graph = graph

    async def GetReach(
        self, request: graph_pb2.GetReachRequest, context: Context
    ) -> graph_pb2.GetReachResponse:
        is_celebrity = await self._graph.is_celebrity(UserId(request.user_id))
        return graph_pb2.GetReachResponse(is_celebrity=is_celebrity)

    async def StreamFollowers(
        self, request: graph_pb2.StreamFollowersRequest, context: Context
    ) -> AsyncIterator[graph_pb2.StreamFollowersResponse]:
        async for page in self._graph.followers(UserId(request.user_id)):
            yield graph_pb2.StreamFollowersResponse(follower_ids=page)

    async def GetRelations(
        self, request: graph_pb2.GetRelationsRequest, context: Context
    ) -> graph_pb2.GetRelationsResponse:
        people = [UserId(person) for person in request.user_ids]
        relations = await self._graph.relations(UserId(request.viewer_id), people)
        return graph_pb2.GetRelationsResponse(
            relations=[
                relation_to_pb(person, relation)
                for person, relation in relations.of.items()
            ],
            graph_version=relations.version,
        )

    async def StreamFollowing(
        self, request: graph_pb2.StreamFollowingRequest, context: Context
    ) -> AsyncIterator[graph_pb2.StreamFollowingResponse]:
        async for page in self._graph.following(UserId(request.user_id)):
            yield graph_pb2.StreamFollowingResponse(
                followee_ids=[followee.author_id for followee in page],
                are_celebrities=[followee.is_celebrity for followee in page],
            )


class PostServicer(post_pb2_grpc.PostServiceServicer):
    """What svc_push asks of svc_ingest, answered from memory."""

    def __init__(self, posts: MemoryPosts) -> None:
        self._posts = posts

    async def BatchListRecentPosts(
        self, request: post_pb2.BatchListRecentPostsRequest, context: Context
    ) -> post_pb2.BatchListRecentPostsResponse:
        found = await self._posts.recent(
            [UserId(author) for author in request.author_ids],
            after=PostId(request.after_post_id),
            before=PostId(request.before_post_id),
            limit=request.limit or 50,
        )
        return post_pb2.BatchListRecentPostsResponse(
            post_ids=[post for post, _ in found],
            author_ids=[author for _, author in found],
        )

    async def BatchGetPosts(
        self, request: post_pb2.BatchGetPostsRequest, context: Context
    ) -> post_pb2.BatchGetPostsResponse:
        records = await self._posts.records([PostId(post) for post in request.post_ids])
        return post_pb2.BatchGetPostsResponse(
            posts=[
                post_pb2.PostRecord(
                    post=post_pb2.Post(
                        post_id=record.post_id,
                        author_id=record.author_id,
                        visibility=wire(record.visibility),
                    ),
                    version=record.version,
                )
                for record in records
            ]
        )


def wire(visibility: int) -> "post_pb2.Visibility.ValueType":
    """A visibility as messages have it."""
    return post_pb2.Visibility.Value(f"VISIBILITY_{Visibility(visibility).name}")


class LiveStream:
    """A client's live stream over gRPC."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self) -> push_pb2.LiveEvent:
        """The next event."""
        async with asyncio.timeout(10):
            try:
                response = await self._call.read()
            except AioRpcError as error:
                raise from_rpc_error(error) from error
        event: push_pb2.LiveEvent = response.event
        return event

    async def everything(self, into: list[push_pb2.LiveEvent]) -> None:
        """Takes all events, until the stream fails."""
        while True:
            into.append(await self.next())

    async def change(self) -> push_pb2.LiveEvent:
        """The next event that is more than a heartbeat."""
        async with asyncio.timeout(20):
            while True:
                event = await self.next()
                if event.WhichOneof("kind") != "heartbeat":
                    return event

    async def posts(self, count: int) -> list[int]:
        """Posts of the next events of posts that are new."""
        events = [await self.change() for _ in range(count)]
        kinds = {event.WhichOneof("kind") for event in events}
        assert kinds <= {"post_added"}, events
        return [event.post_added.post_id for event in events]


@dataclass(frozen=True)
class PushProcess:
    """One push process, and how to call it."""

    # Calls as whoever calling_as names.
    stub: Any
    target: str
    identity: InternalIdentity


@dataclass
class Mesh:
    """Push processes, and what is around them."""

    settings: PushSettings
    processes: list[PushProcess]
    bus: Bus
    valkey: Redis
    graph: MemoryGraph
    posts: MemoryPosts
    ids: Ids = field(default_factory=lambda: Ids(clock=SystemClock(), node=7))

    @asynccontextmanager
    async def stream(
        self, viewer: int, *, process: int = 0, position: str = ""
    ) -> AsyncIterator[LiveStream]:
        """Subscribes at one of the processes; viewer 0 is nobody."""
        who = Caller(user_id=viewer, role=Role.USER) if viewer else ANONYMOUS
        with calling_as(who):
            call = self.processes[process].stub.Subscribe(
                push_pb2.SubscribeRequest(position=position)
            )
        try:
            yield LiveStream(call)
        finally:
            call.cancel()

    @asynccontextmanager
    async def slow_stream(
        self, viewer: int, *, process: int = 0
    ) -> AsyncIterator[LiveStream]:
        """Subscribes over a channel of its own, with hardly room for what is unread."""
        who = Caller(user_id=viewer, role=Role.USER)
        options = [("grpc.http2.lookahead_bytes", 64), ("grpc.http2.bdp_probe", 0)]
        target = self.processes[process].target
        async with insecure_channel(target, options=options) as channel:
            call = PushServiceStub(channel).Subscribe(
                push_pb2.SubscribeRequest(),
                metadata=[(IDENTITY_KEY, self.processes[0].identity.sign(who))],
            )
            yield LiveStream(call)
            call.cancel()

    async def sync(self, viewer: int, since: str = "", size: int = 0) -> Any:
        """Polls at the first process."""
        with calling_as(Caller(user_id=viewer, role=Role.USER)):
            return await self.processes[0].stub.Sync(
                push_pb2.SyncRequest(since=since, page_size=size)
            )

    @asynccontextmanager
    async def one_more(self) -> AsyncIterator[int]:
        """One process more, which is stopped at the end; its number."""
        async with push_process(self.settings) as process:
            self.processes.append(process)
            yield len(self.processes) - 1

    def post(self, author: int, visibility: Visibility = Visibility.PUBLIC) -> int:
        """A post that is stored, and of which nobody was told."""
        post = PostId(self.ids.next())
        self.posts.add(post, UserId(author), visibility)
        return post

    async def publish(
        self, author: int, visibility: Visibility = Visibility.PUBLIC
    ) -> int:
        """A post that is stored and published."""
        post = self.post(author, visibility)
        await self.tell(post)
        return post

    async def tell(self, post: int) -> None:
        """Publishes a stored post, again perhaps."""
        record = self.posts.there[PostId(post)]
        event = PostPublished(post_id=post, author_id=record.author_id)
        event.visibility = wire(record.visibility)
        await self.emit(event, version=1)

    async def delete(self, post: int, *, tell: bool = True) -> None:
        """Takes a stored post away."""
        record = self.posts.there.pop(PostId(post))
        if tell:
            event = PostDeleted(post_id=post, author_id=record.author_id)
            await self.emit(event, version=record.version + 1)

    async def edit(self, post: int, visibility: Visibility) -> None:
        """Gives a stored post another audience."""
        before = self.posts.there[PostId(post)]
        after = self.posts.edit(PostId(post), visibility)
        event = PostUpdated(post_id=post, author_id=after.author_id)
        event.visibility = wire(visibility)
        event.previous_visibility = wire(before.visibility)
        await self.emit(event, version=after.version)

    async def holders(self, viewer: int) -> list[bytes]:
        """The marks of processes that hold a reader."""
        mark = await self.valkey.hkeys(f"online:{{{viewer}}}")
        keys = [key for key in mark if isinstance(key, bytes)]
        return [key for key in keys if key.startswith(b"p:")]

    async def leave(self, user: int) -> None:
        """A person deletes their account."""
        self.graph.states[UserId(user)] = UserState.DELETED
        self.graph.follows = {edge for edge in self.graph.follows if user not in edge}
        await self.changed(UserDeleted(user_id=user))

    async def changed(self, event: Any) -> None:
        """The graph, changed by the test before, tells of it."""
        self.graph.version += 1
        await self.emit(event, version=self.graph.version)

    async def emit(self, event: Any, *, version: int) -> None:
        """Publishes an event."""
        event.envelope.occurred_at.GetCurrentTime()
        event.envelope.aggregate_version = version
        assert isinstance(event, Message)
        await self.bus.publish(
            event_subject(type(event)),
            event.SerializeToString(),
            msg_id=secrets.token_hex(8),
        )


@asynccontextmanager
async def push_mesh(
    *,
    processes: int = 1,
    follows: Iterable[tuple[int, int]] = (),
    celebrities: Iterable[int] = (),
    **changed: Any,
) -> AsyncIterator[Mesh]:
    """So many push processes, with settings changed as said."""
    graph = MemoryGraph(
        follows={(UserId(who), UserId(whom)) for who, whom in follows},
        celebrities={UserId(author) for author in celebrities},
    )
    posts = MemoryPosts()
    async with AsyncExitStack() as stack:
        valkey_settings = await stack.enter_async_context(valkey())
        nats_settings = await stack.enter_async_context(nats())
        # Abstract to the type checker alone: they have what svc_push asks for.
        peers = await stack.enter_async_context(
            serving(
                {
                    add_GraphServiceServicer_to_server: GraphServicer(graph),  # type: ignore[abstract]
                    add_PostServiceServicer_to_server: PostServicer(posts),  # type: ignore[abstract]
                }
            )
        )
        values: dict[str, Any] = {
            "port": 0,
            "admin_port": 0,
            "linger_seconds": 0,
            "drain_seconds": 5,
            "valkey_url": valkey_settings.url,
            "nats_url": nats_settings.url,
            "target_graph": peers.target,
            "target_ingest": peers.target,
            "heartbeat": NEVER,
        }
        settings = PushSettings(**values | changed)
        started = [
            await stack.enter_async_context(push_process(settings))
            for _ in range(processes)
        ]
        with measuring(CollectorRegistry()):
            bus = await stack.enter_async_context(open_bus(nats_settings, name="test"))
        raw = await stack.enter_async_context(Redis.from_url(valkey_settings.url))
        yield Mesh(settings, started, bus, raw, graph, posts)


@asynccontextmanager
async def push_process(settings: PushSettings) -> AsyncIterator[PushProcess]:
    """Runs one push process."""
    async with AsyncExitStack() as stack:
        with measuring(CollectorRegistry()):
            app = await stack.enter_async_context(assemble(settings))
            up = await stack.enter_async_context(running(app, settings))
            assert up.health is not None
            await up.health.report(is_ready=True)
            target = f"{settings.host}:{up.port}"
            channel = await stack.enter_async_context(
                open_channel(
                    ChannelSettings(
                        target=target,
                        service="test",
                        keys=settings.internal_keys,
                        as_caller=True,
                    )
                )
            )
        yield PushProcess(
            stub=PushServiceStub(channel),
            target=target,
            identity=InternalIdentity(settings.internal_keys),
        )
