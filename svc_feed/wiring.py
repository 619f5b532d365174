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
from chassis.freshness import (
    ChangeLog,
    ChangeLogReader,
    RecentList,
    VersionedBytes,
    VersionMarks,
)
from chassis.metrics import BreakerMetrics
from chassis.paging import PageTokens
from chassis.run import App, Background
from chassis.shards import open_shards
from chassis.valkey import open_valkey

from . import events
from .cached import CachedGraphs, CachedPeople, Freshness
from .cached_posts import CachedPosts, Sizes
from .doubt import DoubtedHotFeeds, DoubtTeller
from .fan_out import FeedFanOut, FollowChanges
from .home_feed import HomeFeed, Limits
from .hot import HotTag, ValkeyGlances, ValkeyHotFeeds, ValkeyPostCopies
from .hydration import Hydration
from .peers import GraphPeer, PeoplePeer, PostsPeer, RankPeer
from .presentation import Presentation
from .service import FeedService
from .settings import FeedSettings
from .store import PostgresFeedIndex, PostgresGenerations

# For a script call of a thousand hot feeds; a page's few keys get 80 ms.
BULK_SECONDS = 2.0


@asynccontextmanager
async def assemble(settings: FeedSettings) -> AsyncIterator[App]:
    """The service with its engines open."""
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        shards = await stack.enter_async_context(open_shards([settings.postgres]))
        for pool in shards.all():
            await migrate.verify(pool, "svc_feed")
        valkey = await stack.enter_async_context(open_valkey(settings.valkey))
        patient = replace(settings.valkey, socket_timeout=BULK_SECONDS)
        bulk = await stack.enter_async_context(open_valkey(patient))
        bus = await stack.enter_async_context(open_bus(settings.nats, name="svc_feed"))
        to_graph = await stack.enter_async_context(
            open_channel(settings.channel("graph"))
        )
        to_ingest = await stack.enter_async_context(
            open_channel(settings.channel("ingest"))
        )
        to_rank = await stack.enter_async_context(
            open_channel(settings.channel("rank"))
        )

        index = PostgresFeedIndex(
            shards=shards, read_seconds=settings.index_read_seconds
        )
        generations = PostgresGenerations(shards=shards)
        tag = HotTag(valkey=valkey)
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
        fan_out = FeedFanOut(
            index=index,
            hot_feeds=hot_feeds,
            graph=graph,
            in_flight=settings.fan_out_pages,
        )
        follows = FollowChanges(
            index=index,
            hot_feeds=hot_feeds,
            graph=graph,
            records=records,
            clock=clock,
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
            index=index,
            hot_feeds=hot_feeds,
            posts=posts,
            hydration=Hydration(posts=posts, people=people),
            presentation=Presentation(
                ranker=RankPeer(
                    stub=rank_pb2_grpc.RankServiceStub(to_rank),
                    breaker=Breaker(
                        "rank", BreakerSettings(), clock, BreakerMetrics().changed
                    ),
                    clock=clock,
                    seconds=settings.rank_seconds,
                    most_in_flight=settings.rank_in_flight,
                )
            ),
            tokens=PageTokens(
                keys=settings.page_token_keys,
                clock=clock,
                ttl=settings.page_token_ttl,
            ),
            limits=Limits(
                candidates=settings.rank_candidates,
                budget=settings.page_budget,
                hot_window=settings.hot_window,
            ),
        )

        yield App(
            name="svc_feed",
            rpcs={
                feed_pb2_grpc.add_FeedServiceServicer_to_server: FeedService(
                    home_feed=home_feed
                )
            },
            consumers=[
                bus.consumer(events.FanOut(fan_out=fan_out)),
                bus.consumer(events.FanOutWidened(fan_out=fan_out)),
                bus.consumer(events.Withdraw(fan_out=fan_out)),
                bus.consumer(events.Backfill(follows=follows)),
                bus.consumer(events.Unfollow(follows=follows)),
                bus.consumer(events.Block(follows=follows)),
                bus.consumer(events.Erase(follows=follows)),
            ],
            background=[
                Background("hot-generation", teller.run, role="worker"),
                Background(
                    "partitions",
                    lambda: partitions.keep_all_ahead(shards.all(), clock),
                    role="worker",
                ),
            ],
            requires_any={"postgres": shards.ping, "valkey": valkey.ping},
            reports={"bus": bus.ping},
        )
