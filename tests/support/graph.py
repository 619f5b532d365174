"""The stores of svc_graph and the whole room, over real engines."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import grpc
from pydantic import Field

from feedmesh.graph.v1 import (
    events_pb2,
    graph_pb2,
    graph_pb2_grpc,
    session_pb2_grpc,
    user_pb2,
    user_pb2_grpc,
)

from chassis import secrets
from chassis.auth import Caller, Role, calling_as
from chassis.client import ChannelSettings, open_channel
from chassis.freshness import ChangeLog, VersionMarks
from chassis.idempotency import RequestRecords
from chassis.ids import Ids
from chassis.outbox import Outbox
from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.run import running
from chassis.testing import FakeClock, database, nats, valkey
from chassis.valkey import Script, Valkey, open_valkey

from svc_graph import ports
from svc_graph.hot import ValkeyRevocations
from svc_graph.model import NOBODY, NewUser, Reach, Relation, UserId
from svc_graph.settings import GraphSettings
from svc_graph.store_celebrities import PostgresCelebrities
from svc_graph.store_change import Changes
from svc_graph.store_counters import PostgresCounters
from svc_graph.store_edges import PostgresEdges
from svc_graph.store_imports import PostgresImports
from svc_graph.store_lists import PostgresListings
from svc_graph.store_relations import PostgresRelations
from svc_graph.store_sessions import PostgresSessionRecords
from svc_graph.store_standing import PostgresStanding
from svc_graph.store_sweeps import PostgresSweeps
from svc_graph.store_users import PostgresUsers
from svc_graph.wiring import assemble

PASSWORD = "correct horse battery"

CELEBRITY_THRESHOLD = 10
CELEBRITY_GRACE = timedelta(seconds=35)

EVENTS = "SELECT subject, payload FROM outbox WHERE subject = ANY($1) ORDER BY id"

# Both events have the same fields.
FOLLOW_EVENTS = {"ev.graph.user_followed": 1, "ev.graph.user_unfollowed": -1}

LOGGED = Script("return redis.call('LRANGE', KEYS[1], 0, -1)")

_handles = count()


@dataclass(frozen=True)
class GraphStores:
    """Everything the domain stands on, over one empty database."""

    users: ports.Users
    standing: ports.Standing
    sweeps: ports.Sweeps
    sessions: ports.SessionRecords
    edges: ports.Edges
    listings: ports.Listings
    relations: ports.Relations
    celebrities: ports.Celebrities
    counters: ports.Counters
    imports: ports.Imports
    revocations: ports.Revocations
    clock: FakeClock
    pool: Pool
    valkey: Valkey
    marks: VersionMarks

    async def person(self, *, private: bool = False) -> UserId:
        """A new account."""
        number = next(_handles)
        ids = await self.imports.add_users(
            [NewUser(UserId(1_000_000 + number), f"h{number}", f"Name {number}")],
            who="test",
        )
        user = next(iter(ids.values()))
        if private:
            await self.pool.execute(
                "UPDATE graph_state SET is_private = true WHERE user_id = $1", user
            )
        return user

    async def people(self, number: int) -> list[UserId]:
        return [await self.person() for _ in range(number)]

    async def follow(self, follower: UserId, followee: UserId) -> None:
        async with self.edges.pair(follower, followee) as pair:
            await pair.add_follow(follower, followee)

    async def block(self, blocker: UserId, blocked: UserId) -> None:
        async with self.edges.pair(blocker, blocked) as pair:
            await pair.add_block()

    async def relation(self, viewer: UserId, user: UserId) -> Relation:
        [relation], _ = await self.relations.of(viewer, [user], now=self.clock.now())
        return relation

    async def counts(self, user: UserId) -> tuple[int, int]:
        """Followers, following."""
        [profile] = await self.users.profiles([user], reader=NOBODY)
        return profile.stats.follower_count, profile.stats.following_count

    async def reach(self, user: UserId) -> Reach:
        return await self.relations.reach(user, now=self.clock.now())

    async def published(self) -> list[str]:
        """Subjects of all events so far, in order."""
        rows = await self.pool.fetch("SELECT subject FROM outbox ORDER BY id")
        return [row[0].removeprefix("ev.graph.") for row in rows]

    async def reach_changes(self, user: UserId) -> list[events_pb2.ReachChanged]:
        """What was told of somebody's reach, in the order of the versions."""
        rows = await self.pool.fetch(EVENTS, ["ev.graph.reach_changed"])
        changes = [events_pb2.ReachChanged.FromString(row[1]) for row in rows]
        changes.sort(key=lambda change: change.envelope.aggregate_version)
        return [change for change in changes if change.user_id == user]

    async def follows_told(self, user: UserId) -> list[tuple[int, int]]:
        """Version, and 1 or -1, of all that was told of followers of a person."""
        found = []
        for subject, by in FOLLOW_EVENTS.items():
            for _, payload in await self.pool.fetch(EVENTS, [subject]):
                event = events_pb2.UserFollowed.FromString(payload)
                if event.followee_id == user:
                    found.append((event.envelope.aggregate_version, by))
        return sorted(found)

    async def logged(self) -> list[str]:
        """All entries of the change log so far."""
        return await logged(self.valkey)

    async def audited(self) -> list[tuple[str, str, str]]:
        """Who, what, outcome of all audit rows so far but those of people()."""
        rows = await self.pool.fetch(
            "SELECT who, what, outcome FROM audit WHERE who <> 'test' ORDER BY id"
        )
        return [tuple(row) for row in rows]


async def logged(cache: Valkey) -> list[str]:
    """All entries of the change log so far."""
    raw = await cache.call(LOGGED, [ChangeLog(cache).log_key], [])
    return [entry.decode() for entry in raw]


@asynccontextmanager
async def graph_stores(
    *,
    log_of: Callable[[Pool, Valkey], ChangeLog] = lambda _, cache: ChangeLog(cache),
    marks_of: Callable[[Pool, Valkey], VersionMarks] = lambda _, cache: VersionMarks(
        cache
    ),
) -> AsyncIterator[GraphStores]:
    """Stores over a fresh database and an empty Valkey."""
    async with AsyncExitStack() as stack:
        clock = FakeClock()
        settings = await stack.enter_async_context(database("svc_graph"))
        pool = await stack.enter_async_context(open_pool(settings))
        cache = await stack.enter_async_context(
            open_valkey(await stack.enter_async_context(valkey()))
        )
        ids = Ids(clock=clock, node=1)
        # Events of the fake clock's day need a partition.
        await pool.execute("CREATE TABLE outbox_all PARTITION OF outbox DEFAULT")
        marks = marks_of(pool, cache)
        changes = Changes(
            pool=pool,
            outbox=Outbox(source="graph", ids=ids, clock=clock),
            marks=marks,
            log=log_of(pool, cache),
            clock=clock,
            celebrity_threshold=CELEBRITY_THRESHOLD,
        )
        yield GraphStores(
            users=PostgresUsers(
                pool=pool,
                changes=changes,
                requests=RequestRecords(clock=clock),
                clock=clock,
            ),
            standing=PostgresStanding(pool=pool, changes=changes, clock=clock),
            sweeps=PostgresSweeps(pool=pool, changes=changes),
            sessions=PostgresSessionRecords(pool=pool),
            edges=PostgresEdges(changes=changes, clock=clock),
            listings=PostgresListings(pool=pool),
            relations=PostgresRelations(pool=pool, celebrity_grace=CELEBRITY_GRACE),
            celebrities=PostgresCelebrities(
                pool=pool, changes=changes, threshold=CELEBRITY_THRESHOLD
            ),
            counters=PostgresCounters(pool=pool, changes=changes),
            imports=PostgresImports(pool=pool, changes=changes, clock=clock),
            revocations=ValkeyRevocations(
                valkey=cache, access_ttl=timedelta(minutes=15)
            ),
            clock=clock,
            pool=pool,
            valkey=cache,
            marks=marks,
        )


class RoomSettings(GraphSettings):
    """Settings of a room under test: its database has a name of its own."""

    database: str = Field(default="", exclude=True)

    @property
    def postgres(self) -> PostgresSettings:
        return PostgresSettings(url=self.database)


@dataclass(frozen=True)
class GraphRoom:
    """svc_graph, running, with stubs that call as whoever is calling."""

    users: "user_pb2_grpc.UserServiceAsyncStub"
    sessions: "session_pb2_grpc.SessionServiceAsyncStub"
    graph: "graph_pb2_grpc.GraphServiceAsyncStub"
    internal: "graph_pb2_grpc.GraphServiceAsyncStub"
    """Calls as a service of the mesh."""

    settings: RoomSettings
    pool: Pool
    valkey: Valkey

    async def sign_up(self, *, private: bool = False) -> int:
        """A new person with PASSWORD; their id."""
        handle = f"p{next(_handles)}"
        answer = await self.users.CreateUser(
            user_pb2.CreateUserRequest(handle=handle, password=PASSWORD)
        )
        user_id = answer.user.user_id
        if private:
            with acting(user_id):
                await self.users.UpdateUser(
                    user_pb2.UpdateUserRequest(
                        user=user_pb2.User(user_id=user_id, is_private=True)
                    )
                )
        return user_id

    async def sign_ups(self, number: int) -> list[int]:
        return [await self.sign_up() for _ in range(number)]

    async def handle_of(self, user_id: int) -> str:
        answer = await self.users.GetUser(user_pb2.GetUserRequest(user_id=user_id))
        return answer.user.handle

    async def follow(self, follower: int, followee: int) -> graph_pb2.FollowResponse:
        with acting(follower):
            return await self.graph.Follow(graph_pb2.FollowRequest(user_id=followee))

    async def block(self, blocker: int, blocked: int) -> None:
        with acting(blocker):
            await self.graph.Block(graph_pb2.BlockRequest(user_id=blocked))

    async def relation(self, viewer: int, user: int) -> graph_pb2.Relation:
        answer = await self.internal.GetRelations(
            graph_pb2.GetRelationsRequest(viewer_id=viewer, user_ids=[user])
        )
        return answer.relations[0]


def acting(user_id: int) -> AbstractContextManager[None]:
    """Calls in the block are those of a person."""
    return calling_as(Caller(user_id=user_id, role=Role.USER))


@asynccontextmanager
async def graph_room(folder: Path) -> AsyncIterator[GraphRoom]:
    """The room as its wiring puts it together, served on a free port.

    `folder` takes its secrets. Passwords cost little.
    """
    secrets.create_development(folder)
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(database("svc_graph"))
        cache = await stack.enter_async_context(valkey())
        bus = await stack.enter_async_context(nats())
        settings = RoomSettings(
            database=postgres.url,
            valkey_url=cache.url,
            nats_url=bus.url,
            secrets_dir=folder,
            port=0,
            admin_port=0,
            linger_seconds=0,
            celebrity_threshold=CELEBRITY_THRESHOLD,
            password_time_cost=1,
            password_memory_kib=64,
            password_parallelism=1,
        )
        app = await stack.enter_async_context(assemble(settings))
        up = await stack.enter_async_context(running(app, settings))
        # At once, not with the next round of checks.
        assert up.health is not None
        await up.health.report(is_ready=True)
        channels = [
            await stack.enter_async_context(_channel(up.port, settings, as_caller))
            for as_caller in (True, False)
        ]
        yield GraphRoom(
            users=user_pb2_grpc.UserServiceStub(channels[0]),
            sessions=session_pb2_grpc.SessionServiceStub(channels[0]),
            graph=graph_pb2_grpc.GraphServiceStub(channels[0]),
            internal=graph_pb2_grpc.GraphServiceStub(channels[1]),
            settings=settings,
            pool=await stack.enter_async_context(open_pool(postgres)),
            valkey=await stack.enter_async_context(open_valkey(cache)),
        )


@asynccontextmanager
async def _channel(
    port: int, settings: GraphSettings, as_caller: bool
) -> AsyncIterator[grpc.aio.Channel]:
    target = ChannelSettings(
        target=f"127.0.0.1:{port}",
        service="test",
        keys=settings.internal_keys,
        as_caller=as_caller,
    )
    async with open_channel(target) as channel:
        yield channel


def ids_of(users: Iterable[user_pb2.User]) -> list[int]:
    return [user.user_id for user in users]
