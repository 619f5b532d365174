"""How svc_ingest is put together. Nothing is constructed anywhere else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceStub
from feedmesh.ingest.v1.post_pb2_grpc import add_PostServiceServicer_to_server

from chassis import migrate, partitions
from chassis.bus import open_bus
from chassis.client import open_channel
from chassis.clock import SystemClock
from chassis.dead_letter_table import DeadLetterTable
from chassis.freshness import ChangeLog, RecentList, VersionedBytes
from chassis.idempotency import RequestRecords
from chassis.ids import Ids, allot_node
from chassis.outbox import Outbox, OutboxRelay
from chassis.paging import PageTokens
from chassis.postgres import open_pool
from chassis.run import App, Background
from chassis.valkey import open_valkey

from .audience import Audience
from .batches import PostBatches
from .comments import PostComments
from .convert import PostFrames, stats_to_bytes
from .counters import Counters, Erasure
from .creation import PostCreation
from .events import (
    ClearTraces,
    CountCommented,
    CountLiked,
    CountShared,
    CountUncommented,
    CountUnliked,
    CountUnshared,
    EraseUser,
    RefreshCopies,
)
from .group_commit import open_group_commit
from .hot import ValkeyHotPosts
from .pages import Pages
from .peers import GraphPeer
from .posts import Posts
from .reactions import PostReactions
from .reconciliation import Reconciliation
from .service import PostService
from .settings import IngestSettings
from .store import PostgresPosts
from .store_change import PostgresChanges
from .store_comments import PostgresComments
from .store_counts import PostgresTallies
from .store_create import PostgresNewPosts
from .store_erase import PostgresPersonalData, PostgresTombstones
from .store_reactions import PostgresReactions
from .upkeep import Copies, Upkeep


@asynccontextmanager
async def assemble(settings: IngestSettings) -> AsyncIterator[App]:
    """The service with its engines and its channel open."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        pool = await stack.enter_async_context(open_pool(settings.postgres))
        await migrate.verify(pool, "svc_ingest")
        valkey = await stack.enter_async_context(open_valkey(settings.valkey))
        letters = DeadLetterTable(pool=pool)
        bus = await stack.enter_async_context(
            open_bus(settings.nats, name="svc_ingest", letters=letters)
        )
        channel = await stack.enter_async_context(
            open_channel(settings.channel("graph"))
        )

        ids = Ids(clock=clock, node=await allot_node(pool))
        outbox = Outbox(source="ingest", ids=ids, clock=clock, bus=bus)
        relay = OutboxRelay(pool=pool, bus=bus, clock=clock, source="ingest")
        requests = RequestRecords(clock=clock)
        hot = ValkeyHotPosts(
            valkey=valkey,
            copies=VersionedBytes(valkey),
            own=RecentList(valkey),
            changes=ChangeLog(valkey),
            encode_stats=stats_to_bytes,
            ttl=settings.copy_ttl,
        )

        stored = PostgresPosts(pool=pool)
        changes = PostgresChanges(pool=pool, outbox=outbox, requests=requests, hot=hot)
        reactions = PostgresReactions(pool=pool, outbox=outbox, hot=hot, ids=ids)
        new_posts = PostgresNewPosts(pool=pool, outbox=outbox, hot=hot, clock=clock)
        # Opened last of what it needs, so that at the end it is drained first.
        group = await stack.enter_async_context(
            open_group_commit(
                commit=new_posts.add,
                window=settings.commit_window.total_seconds(),
                size=settings.commit_size,
            )
        )

        graph = GraphPeer(stub=GraphServiceStub(channel))
        audience = Audience(posts=stored, graph=graph)
        pages = Pages(
            tokens=PageTokens(
                keys=settings.page_token_keys, clock=clock, ttl=settings.page_token_ttl
            )
        )
        frames = PostFrames()
        tallies = PostgresTallies(pool=pool)
        service = PostService(
            creation=PostCreation(
                audience=audience,
                new_posts=new_posts,
                group=group,
                codec=frames,
                ids=ids,
            ),
            posts=Posts(
                audience=audience,
                stored=stored,
                changes=changes,
                codec=frames,
                pages=pages,
                clock=clock,
            ),
            batches=PostBatches(stored=stored, reactions=reactions, hot=hot),
            reactions=PostReactions(
                audience=audience, reactions=reactions, pages=pages
            ),
            comments=PostComments(
                audience=audience,
                comments=PostgresComments(pool=pool, outbox=outbox, requests=requests),
                pages=pages,
                ids=ids,
            ),
            reconciliation=Reconciliation(
                tallies=tallies, hot=hot, grace=settings.count_grace
            ),
        )

        counters = Counters(tallies=tallies, hot=hot)
        erasure = Erasure(
            changes=changes,
            personal=PostgresPersonalData(pool=pool, outbox=outbox, hot=hot, ids=ids),
        )
        copies = Copies(stored=stored, hot=hot)
        upkeep = Upkeep(
            tombstones=PostgresTombstones(pool=pool),
            clock=clock,
            ttl=settings.tombstone_ttl,
        )

        yield App(
            name="svc_ingest",
            rpcs={add_PostServiceServicer_to_server: service},
            consumers=[
                bus.consumer(CountLiked(counters=counters)),
                bus.consumer(CountUnliked(counters=counters)),
                bus.consumer(CountCommented(counters=counters)),
                bus.consumer(CountUncommented(counters=counters)),
                bus.consumer(CountShared(counters=counters)),
                bus.consumer(CountUnshared(counters=counters)),
                bus.consumer(ClearTraces(erasure=erasure, copies=copies)),
                bus.consumer(RefreshCopies(copies=copies)),
                bus.consumer(EraseUser(erasure=erasure)),
                *bus.desk(),
            ],
            background=[
                Background("outbox-relay", relay.run),
                Background(
                    "partitions", lambda: partitions.keep_all_ahead([pool], clock)
                ),
                Background("request-records", lambda: requests.keep_pruned(pool)),
                Background("tombstones", upkeep.run),
            ],
            requires_all={"postgres": pool.ping},
            reports={"valkey": valkey.ping, "bus": bus.ping},
        )
