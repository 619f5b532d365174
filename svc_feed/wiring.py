"""How svc_feed is put together. Nothing is constructed anywhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from feedmesh.feed.v1 import feed_pb2_grpc
from feedmesh.graph.v1 import graph_pb2_grpc, user_pb2_grpc
from feedmesh.ingest.v1 import post_pb2_grpc
from feedmesh.rank.v1 import rank_pb2_grpc

from chassis import migrate, partitions
from chassis.breaker import Breaker, BreakerSettings
from chassis.bus import open_bus
from chassis.client import open_channel
from chassis.clock import SystemClock
from chassis.dead_letter_table import DeadLetterTable
from chassis.freshness import (
    ChangeLog,
    ChangeLogReader,
    RecentList,
    VersionedBytes,
    VersionMarks,
)
from chassis.ids import Ids, allot_node
from chassis.metrics import BreakerMetrics, Metrics
from chassis.outbox import Outbox, OutboxRelay
from chassis.paging import PageTokens
from chassis.run import App, Background
from chassis.shards import open_shards
from chassis.valkey import open_valkey

from . import events
from .archive import Archive
from .audit import FeedAudit
from .cached import CachedGraphs, CachedPeople, Freshness
from .cached_posts import CachedPosts, Sizes
from .cold import ColdFeeds
from .doubt import DoubtedHotFeeds, DoubtTeller
from .drafts import Drafts
from .explain import FeedExplanations
from .fan_out import FeedFanOut
from .follow_changes import FollowChanges
from .home_feed import HomeFeed
from .hot import HotTag, ValkeyHotFeeds
from .hydration import Hydration
from .meters import AuditMeters, FanOutMeters
from .meters_reading import ColdMeters, MeasuredFeeds, TierMeters
from .peers import GraphPeer, PeoplePeer, PostsPeer, RankPeer
from .presentation import Presentation
from .pull import FeedPull
from .reach_migration import ReachMigration
from .rebuild import FeedRebuild
from .refresh import Refreshes
from .repair import FeedRepair
from .sampling import FeedSampler
from .service import FeedService
from .settings import FeedSettings
from .store import PostgresFeedIndex, PostgresGenerations
from .store_audience import Audience
from .store_glances import ValkeyGlances, ValkeyNotes, ValkeyPostCopies
from .store_parts import PostgresContinuations, PostgresReachMoves
from .store_readers import PostgresReaders
from .store_trail import PostgresTrail
from .upkeep import FeedUpkeep

# For a script call of a thousand hot feeds; a page's few keys get 80 ms.
BULK_SECONDS = 2.0

# After an outage of Valkey, pages go on from the index for so long: more than the
# second in which writers notice that it is back and write the marks that they owe.
SETTLE_SECONDS = 3.0


@asynccontextmanager
async def assemble(settings: FeedSettings) -> AsyncIterator[App]:
    """The service with its engines open."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        shards = await stack.enter_async_context(open_shards([settings.postgres]))
        for pool in shards.all():
            await migrate.verify(pool, "svc_feed")
        settling = replace(settings.valkey, settle_seconds=SETTLE_SECONDS)
        valkey = await stack.enter_async_context(open_valkey(settling))
        patient = replace(settings.valkey, socket_timeout=BULK_SECONDS)
        bulk = await stack.enter_async_context(open_valkey(patient))
        letters = DeadLetterTable(pool=shards.all()[0])
        bus = await stack.enter_async_context(
            open_bus(settings.nats, name="svc_feed", letters=letters)
        )
        to_graph = await stack.enter_async_context(
            open_channel(settings.channel("graph"))
        )
        to_ingest = await stack.enter_async_context(
            open_channel(settings.channel("ingest"))
        )
        to_rank = await stack.enter_async_context(
            open_channel(settings.channel("rank"))
        )

        # What svc_feed tells itself: parts of work that are left.
        first = shards.all()[0]
        outbox = Outbox(
            source="feed",
            ids=Ids(clock=clock, node=await allot_node(first)),
            clock=clock,
            bus=bus,
        )
        relay = OutboxRelay(pool=first, bus=bus, clock=clock, source="feed")

        index = PostgresFeedIndex(
            shards=shards,
            audience=Audience(
                clock=clock,
                idle_after=settings.idle_after,
                near=settings.reading_near,
                most_near=settings.near_reading,
            ),
            read_seconds=settings.index_read_seconds,
            clock=clock,
        )
        generations = PostgresGenerations(shards=shards)
        tag = HotTag(valkey=valkey, bulk=bulk)
        hot_feeds = DoubtedHotFeeds(
            hot_feeds=ValkeyHotFeeds(
                valkey=valkey,
                bulk=bulk,
                tag=tag,
                window=settings.hot_window,
                ttl=settings.hot_ttl,
            ),
            generations=generations,
        )
        teller = DoubtTeller(generations=generations, tags=tag)
        graph = GraphPeer(
            stub=graph_pb2_grpc.GraphServiceStub(to_graph),
            read_seconds=settings.graph_seconds,
        )
        records = PostsPeer(stub=post_pb2_grpc.PostServiceStub(to_ingest))
        readers = PostgresReaders(
            shards=shards,
            clock=clock,
            hot_ttl=settings.hot_ttl,
            idle_after=settings.idle_after,
            read_seconds=settings.index_read_seconds,
        )
        pull = FeedPull(
            graph=graph,
            records=records,
            clock=clock,
            index_age=settings.index_age,
            in_flight=settings.pull_in_flight,
        )
        rebuild = FeedRebuild(
            index=index,
            hot_feeds=hot_feeds,
            readers=readers,
            pull=pull,
            watch=ColdMeters(metrics=Metrics()),
            clock=clock,
            seconds=settings.rebuild_seconds,
            at_once=settings.rebuilds,
        )
        tiers = TierMeters(readers=readers, metrics=Metrics())
        fan_out = FeedFanOut(
            index=index,
            hot_feeds=hot_feeds,
            graph=graph,
            continuations=PostgresContinuations(pool=first, outbox=outbox),
            watch=FanOutMeters(metrics=Metrics(), clock=clock),
            in_flight=settings.fan_out_pages,
            part=settings.fan_out_batch,
        )
        migration = ReachMigration(
            index=index,
            hot_feeds=hot_feeds,
            graph=graph,
            records=records,
            moves=PostgresReachMoves(pool=first, outbox=outbox),
            clock=clock,
            index_age=settings.index_age,
            in_flight=settings.fan_out_pages,
        )
        notes = ValkeyNotes(valkey=valkey, last_kept=settings.refresh_seconds)
        follows = FollowChanges(
            index=index,
            hot_feeds=hot_feeds,
            graph=graph,
            records=records,
            readers=readers,
            notes=notes,
            clock=clock,
            pull_all_above=settings.pull_all_above,
        )
        audit = FeedAudit(
            index=index,
            hot_feeds=hot_feeds,
            readers=readers,
            pull=pull,
            graph=graph,
            records=records,
            follows=follows,
            clock=clock,
            settle=settings.settle,
        )
        audit_meters = AuditMeters(metrics=Metrics())
        repairs = FeedRepair(
            audit=audit,
            hot_feeds=hot_feeds,
            follows=follows,
            watch=audit_meters,
            clock=clock,
            at_once=settings.repairs,
            every=settings.repair_every,
        )
        sampler = FeedSampler(
            audit=audit,
            readers=readers,
            watch=audit_meters,
            clock=clock,
            per_minute=settings.audit_sample,
            repairs=settings.audit_repair,
        )

        freshness = Freshness(clock=clock)
        copies = VersionedBytes(valkey)
        log = ChangeLog(valkey)
        posts = CachedPosts(
            copies=ValkeyPostCopies(valkey=valkey, copies=copies),
            records=records,
            freshness=freshness,
            sizes=Sizes(
                posts=settings.near_posts,
                readers=settings.near_readers,
                celebrities=settings.near_celebrities,
            ),
        )
        people = CachedPeople(
            people=PeoplePeer(stub=user_pb2_grpc.UserServiceStub(to_graph)),
            freshness=freshness,
            max_users=settings.near_users,
        )
        presentation = Presentation(
            ranker=RankPeer(
                stub=rank_pb2_grpc.RankServiceStub(to_rank),
                breaker=Breaker(
                    "rank", BreakerSettings(), clock, BreakerMetrics().changed
                ),
                clock=clock,
                seconds=settings.rank_seconds,
                most_in_flight=settings.rank_in_flight,
            )
        )
        hydration = Hydration(posts=posts, people=people)
        home_feed = HomeFeed(
            glances=ValkeyGlances(
                valkey=valkey,
                tag=tag,
                marks=VersionMarks(valkey),
                log=log,
                reader=ChangeLogReader(log),
                own=RecentList(valkey),
                copies=copies,
            ),
            near=freshness,
            graphs=CachedGraphs(
                graph=graph,
                freshness=freshness,
                max_readers=settings.near_readers,
            ),
            cold=ColdFeeds(
                index=index,
                hot_feeds=hot_feeds,
                readers=readers,
                pull=pull,
                rebuild=rebuild,
                repairs=repairs,
                clock=clock,
                window=settings.hot_window,
                pulled_ttl=settings.pulled_ttl,
                seconds=settings.rebuild_seconds,
            ),
            archive=Archive(pull=pull, clock=clock),
            posts=posts,
            hydration=hydration,
            drafts=Drafts(
                hydration=hydration,
                presentation=presentation,
                candidates=settings.rank_candidates,
            ),
            presentation=presentation,
            refreshes=Refreshes(
                notes=notes, clock=clock, every=settings.refresh_seconds
            ),
            notes=notes,
            repairs=repairs,
            tokens=PageTokens(
                keys=settings.page_token_keys,
                clock=clock,
                ttl=settings.page_token_ttl,
            ),
            budget=settings.page_budget,
        )

        yield App(
            name="svc_feed",
            rpcs={
                feed_pb2_grpc.add_FeedServiceServicer_to_server: FeedService(
                    home_feed=MeasuredFeeds(feeds=home_feed, metrics=Metrics()),
                    explanations=FeedExplanations(
                        index=index,
                        hot_feeds=hot_feeds,
                        readers=readers,
                        graph=graph,
                        records=records,
                        clock=clock,
                        index_age=settings.index_age,
                        settle=settings.settle,
                    ),
                    upkeep=FeedUpkeep(
                        graph=graph,
                        audit=audit,
                        rebuild=rebuild,
                        trail=PostgresTrail(pool=first),
                    ),
                )
            },
            consumers=[
                bus.consumer(events.FanOut(fan_out=fan_out)),
                bus.consumer(events.FanOutFurther(fan_out=fan_out)),
                bus.consumer(events.FanOutWidened(fan_out=fan_out)),
                bus.consumer(events.Withdraw(fan_out=fan_out)),
                bus.consumer(events.Backfill(follows=follows)),
                bus.consumer(events.Unfollow(follows=follows)),
                bus.consumer(events.Block(follows=follows)),
                bus.consumer(events.Erase(follows=follows)),
                bus.consumer(events.ChangeReach(migration=migration)),
                bus.consumer(events.ChangeReachFurther(migration=migration)),
            ],
            background=[
                Background("hot-generation", teller.run, role="worker"),
                Background("notes", notes.run, role="rpc"),
                Background("rebuilds", rebuild.run, role="rpc"),
                Background("repairs", repairs.run, role="rpc"),
                Background("reader-tiers", tiers.run, role="worker"),
                Background("sampler", sampler.run, role="worker"),
                Background("outbox-relay", relay.run, role="worker"),
                Background(
                    "partitions",
                    lambda: partitions.keep_all_ahead(shards.all(), clock),
                    role="worker",
                ),
            ],
            drains=[notes.write],
            requires_any={"postgres": shards.ping, "valkey": valkey.ping},
            reports={"bus": bus.ping},
        )
