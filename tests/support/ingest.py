"""svc_ingest over real engines, with a small svc_graph that knows what it is told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import grpc
from pydantic import Field

from feedmesh.graph.v1 import graph_pb2, user_pb2
from feedmesh.graph.v1.graph_pb2_grpc import (
    GraphServiceServicer,
    add_GraphServiceServicer_to_server,
)
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from chassis.auth import Caller, Role, calling_as
from chassis.client import ChannelSettings, open_channel
from chassis.errors import NotFound
from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.run import running
from chassis.testing import database, eventually, nats, valkey
from chassis.valkey import Valkey, open_valkey

from domain.visibility import Relation, UserState
from svc_ingest.settings import IngestSettings
from svc_ingest.wiring import assemble

_people = count(1_000)


class GraphBook(GraphServiceServicer):
    """GetRelations from a book; whoever is not in it is an active stranger."""

    def __init__(self) -> None:
        self._relations: dict[tuple[int, int], Relation] = {}
        self.asked = 0
        self.is_down = False

    def person(self) -> int:
        return next(_people)

    def set(self, viewer: int, person: int, relation: Relation) -> None:
        self._relations[viewer, person] = relation

    def follow(self, follower: int, followee: int) -> None:
        self._change(follower, followee, is_following=True)
        self._change(followee, follower, is_followed_by=True)

    def block(self, blocker: int, blocked: int) -> None:
        self._change(blocker, blocked, is_blocking=True, is_following=False)
        self._change(blocked, blocker, is_blocked_by=True, is_following=False)

    def make(self, person: int, viewers: Sequence[int], **facts: object) -> None:
        """What an account is like, to these viewers."""
        for viewer in viewers:
            self._change(viewer, person, **facts)

    def relation(self, viewer: int, person: int) -> Relation:
        return self._relations.get((viewer, person), Relation(state=UserState.ACTIVE))

    def _change(self, viewer: int, person: int, **facts: Any) -> None:
        self.set(viewer, person, replace(self.relation(viewer, person), **facts))

    async def GetRelations(
        self, request: graph_pb2.GetRelationsRequest, context: Any
    ) -> graph_pb2.GetRelationsResponse:
        self.asked += 1
        if self.is_down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        return graph_pb2.GetRelationsResponse(
            relations=[
                relation_to_pb(person, self.relation(request.viewer_id, person))
                for person in request.user_ids
            ]
        )


def relation_to_pb(person: int, relation: Relation) -> graph_pb2.Relation:
    return graph_pb2.Relation(
        user_id=person,
        is_following=relation.is_following,
        is_followed_by=relation.is_followed_by,
        is_blocking=relation.is_blocking,
        is_blocked_by=relation.is_blocked_by,
        is_muting=relation.is_muting,
        is_private=relation.is_private,
        state=cast(user_pb2.UserState.ValueType, int(relation.state)),
    )


@asynccontextmanager
async def graph_server() -> AsyncIterator[tuple[GraphBook, str]]:
    """A svc_graph of a book, and where it listens."""
    book = GraphBook()  # type: ignore[abstract]  # only what this room calls
    server = grpc.aio.server()
    add_GraphServiceServicer_to_server(book, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield book, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class RoomSettings(IngestSettings):
    """Settings of a room under test: its database has a name of its own."""

    database: str = Field(default="", exclude=True)

    @property
    def postgres(self) -> PostgresSettings:
        return PostgresSettings(url=self.database)


@dataclass(frozen=True)
class IngestRoom:
    """svc_ingest, running, with stubs that call as whoever is calling."""

    posts: "post_pb2_grpc.PostServiceAsyncStub"
    internal: "post_pb2_grpc.PostServiceAsyncStub"
    """Calls as a service of the mesh."""

    graph: GraphBook
    pool: Pool
    valkey: Valkey
    settings: RoomSettings
    numbers: "count[int]" = field(default_factory=count)

    def people(self, number: int) -> list[int]:
        return [self.graph.person() for _ in range(number)]

    async def post(self, author: int, text: str = "hello", **fields: Any) -> int:
        """A new post; its id."""
        return (await self.create(author, text=text, **fields)).post.post_id

    async def create(self, author: int, **fields: Any) -> post_pb2.CreatePostResponse:
        with acting(author):
            return await self.posts.CreatePost(post_pb2.CreatePostRequest(**fields))

    async def share(self, user: int, post_id: int) -> post_pb2.SharePostResponse:
        with acting(user):
            return await self.posts.SharePost(
                post_pb2.SharePostRequest(post_id=post_id)
            )

    async def get(self, viewer: int, post_id: int) -> post_pb2.GetPostResponse:
        with acting(viewer):
            return await self.posts.GetPost(post_pb2.GetPostRequest(post_id=post_id))

    async def like(self, user: int, post_id: int) -> post_pb2.LikePostResponse:
        with acting(user):
            return await self.posts.LikePost(post_pb2.LikePostRequest(post_id=post_id))

    async def comment(
        self, user: int, post_id: int, text: str = "hm", **fields: Any
    ) -> int:
        with acting(user):
            answer = await self.posts.CreateComment(
                post_pb2.CreateCommentRequest(post_id=post_id, text=text, **fields)
            )
        return answer.comment.comment_id

    async def delete(self, user: int, post_id: int, **fields: Any) -> None:
        with acting(user):
            await self.posts.DeletePost(
                post_pb2.DeletePostRequest(post_id=post_id, **fields)
            )

    async def update(
        self, user: int, post_id: int, *, mask: Sequence[str] = (), **fields: Any
    ) -> post_pb2.Post:
        request_id = fields.pop("request_id", "")
        request = post_pb2.UpdatePostRequest(
            post=post_pb2.Post(post_id=post_id, **fields), request_id=request_id
        )
        request.update_mask.paths.extend(mask)
        with acting(user):
            return (await self.posts.UpdatePost(request)).post

    async def author_list(
        self, viewer: int, author: int, size: int = 20, token: str = ""
    ) -> post_pb2.ListUserPostsResponse:
        with acting(viewer):
            return await self.posts.ListUserPosts(
                post_pb2.ListUserPostsRequest(
                    user_id=author, page_size=size, page_token=token
                )
            )

    async def batch(self, *post_ids: int, viewer: int = 0) -> list[post_pb2.PostRecord]:
        answer = await self.internal.BatchGetPosts(
            post_pb2.BatchGetPostsRequest(post_ids=post_ids, viewer_id=viewer)
        )
        return list(answer.posts)

    async def is_heard(self) -> bool:
        """Whether calls arrive: a refusal is an answer, too."""
        try:
            await self.get(0, 1)
        except NotFound:
            return True
        return False

    async def published(self) -> list[str]:
        """Names of all events so far, in order."""
        rows = await self.pool.fetch("SELECT subject FROM outbox ORDER BY id")
        return [row[0].removeprefix("ev.ingest.") for row in rows]


def acting(user_id: int) -> AbstractContextManager[None]:
    """Calls in the block are those of a person; of nobody for 0."""
    role = Role.USER if user_id else Role.ANONYMOUS
    return calling_as(Caller(user_id=user_id, role=role))


@asynccontextmanager
async def ingest_room(
    *, postgres_port: int = 0, **changed: Any
) -> AsyncIterator[IngestRoom]:
    """The room as its wiring puts it together, served on a free port.

    It reaches Postgres through a proxy where a port is given.
    """
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(database("svc_ingest"))
        cache = await stack.enter_async_context(valkey())
        bus = await stack.enter_async_context(nats())
        book, target = await stack.enter_async_context(graph_server())
        urls = {"valkey_url": cache.url, "nats_url": bus.url} | changed
        settings = RoomSettings(
            database=_through(postgres.url, postgres_port),
            target_graph=target,
            port=0,
            admin_port=0,
            linger_seconds=0,
            **urls,
        )
        app = await stack.enter_async_context(assemble(settings))
        up = await stack.enter_async_context(running(app, settings))
        channels = [
            await stack.enter_async_context(
                open_channel(
                    ChannelSettings(
                        target=f"127.0.0.1:{up.port}",
                        service="test",
                        keys=settings.internal_keys,
                        as_caller=as_caller,
                    )
                )
            )
            for as_caller in (True, False)
        ]
        room = IngestRoom(
            posts=post_pb2_grpc.PostServiceStub(channels[0]),
            internal=post_pb2_grpc.PostServiceStub(channels[1]),
            graph=book,
            pool=await stack.enter_async_context(open_pool(postgres)),
            valkey=await stack.enter_async_context(open_valkey(cache)),
            settings=settings,
        )
        # Both channels hear that the service is healthy.
        await eventually(lambda: room.batch(1))
        await eventually(room.is_heard)
        yield room


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    if not port:
        return url
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{port}"))
