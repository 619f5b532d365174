"""The suites of the ports against the real stores and a real channel."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceStub

from chassis.client import open_channel
from chassis.clock import SystemClock
from chassis.freshness import ChangeLog, RecentList, VersionedBytes
from chassis.idempotency import RequestRecords
from chassis.ids import Ids
from chassis.outbox import Outbox
from chassis.postgres import open_pool
from chassis.testing import database, valkey
from chassis.valkey import open_valkey

from domain.visibility import Relation
from svc_ingest.convert import stats_to_bytes
from svc_ingest.hot import ValkeyHotPosts
from svc_ingest.model import PostId, UserId
from svc_ingest.peers import GraphPeer
from svc_ingest.settings import IngestSettings
from svc_ingest.store import PostgresPosts
from svc_ingest.store_change import PostgresChanges
from svc_ingest.store_create import PostgresNewPosts
from tests.contract.ingest_graph_contract import GraphContract
from tests.contract.ingest_posts_contract import PostsContract
from tests.support.ingest import GraphBook, graph_server


@dataclass
class OpenedGraph:
    graph: GraphPeer
    book: GraphBook

    def know(self, viewer: UserId, person: UserId, relation: Relation) -> None:
        self.book.set(viewer, person, relation)

    def stop(self) -> None:
        self.book.is_down = True


@dataclass
class OpenedPosts:
    new: PostgresNewPosts
    stored: PostgresPosts
    changes: PostgresChanges

    async def forget(self, post_id: PostId) -> None:
        await self.changes.delete(post_id, lambda post: None)


class TestGraphPeer(GraphContract):
    """Graph over a channel."""

    @asynccontextmanager
    async def open_graph(self) -> AsyncIterator[OpenedGraph]:
        async with graph_server() as (book, target):
            settings = IngestSettings(target_graph=target)
            async with open_channel(settings.channel("graph")) as channel:
                yield OpenedGraph(GraphPeer(stub=GraphServiceStub(channel)), book)


class TestPostgresPosts(PostsContract):
    """Posts on Postgres."""

    @asynccontextmanager
    async def open_posts(self) -> AsyncIterator[OpenedPosts]:
        async with AsyncExitStack() as stack:
            postgres = await stack.enter_async_context(database("svc_ingest"))
            pool = await stack.enter_async_context(open_pool(postgres))
            cache = await stack.enter_async_context(
                open_valkey(await stack.enter_async_context(valkey()))
            )
            settings = IngestSettings()
            clock = SystemClock()
            outbox = Outbox(source="ingest", ids=Ids(clock=clock, node=1), clock=clock)
            hot = ValkeyHotPosts(
                valkey=cache,
                copies=VersionedBytes(cache),
                own=RecentList(cache),
                changes=ChangeLog(cache),
                encode_stats=stats_to_bytes,
                ttl=settings.copy_ttl,
            )
            yield OpenedPosts(
                new=PostgresNewPosts(pool=pool, outbox=outbox, hot=hot, clock=clock),
                stored=PostgresPosts(pool=pool),
                changes=PostgresChanges(
                    pool=pool,
                    outbox=outbox,
                    requests=RequestRecords(clock=clock),
                    hot=hot,
                ),
            )
