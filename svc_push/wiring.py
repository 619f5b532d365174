"""How svc_push is put together. Nothing is constructed anywhere else."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceStub
from feedmesh.ingest.v1.post_pb2_grpc import PostServiceStub
from feedmesh.push.v1.push_pb2_grpc import add_PushServiceServicer_to_server

from chassis.bus import open_bus
from chassis.client import open_channel
from chassis.clock import SystemClock
from chassis.run import App, Background
from chassis.valkey import open_valkey

from .announcements import Announcements, Pace
from .celebrities import Celebrities
from .connections import Connections
from .delivery import Announcer, Delivery
from .departures import Departures
from .events import (
    EndSuspended,
    ForgetDeleted,
    TellBlocked,
    TellDeleted,
    TellFollowed,
    TellGone,
    TellMuted,
    TellPublished,
    TellReinstated,
    TellSuspended,
    TellUnfollowed,
    TellUnmuted,
    TellUpdated,
)
from .followers import LocalFollowers
from .following import Following
from .hot import ValkeyReaderLogs
from .live import NatsLiveHints
from .missed import MissedPosts, RecentPosts
from .model import LogLimits, ProcessName
from .peers import GraphPeer, PostsPeer
from .readers import Readers
from .service import PushService
from .settings import PushSettings
from .standing import Standing
from .subscriptions import StreamLimits, Subscriptions


@asynccontextmanager
async def assemble(settings: PushSettings) -> AsyncIterator[App]:
    """svc_push on its engines and peers."""
    async with AsyncExitStack() as stack:
        # Opened in the order they are needed; closed in reverse.
        valkey = await stack.enter_async_context(open_valkey(settings.valkey))
        bus = await stack.enter_async_context(
            open_bus(settings.nats, name=settings.service)
        )
        graph_channel = await stack.enter_async_context(
            open_channel(settings.channel("graph"))
        )
        ingest_channel = await stack.enter_async_context(
            open_channel(settings.channel("ingest"))
        )

        clock = SystemClock()
        process = ProcessName(secrets.token_hex(6))
        graph = GraphPeer(stub=GraphServiceStub(graph_channel))
        posts = PostsPeer(stub=PostServiceStub(ingest_channel))
        recent = RecentPosts(posts=posts)
        live = NatsLiveHints(bus=bus)
        logs = ValkeyReaderLogs(
            valkey=valkey,
            clock=clock,
            limits=LogLimits(
                changes=settings.log_events,
                retention=settings.log_retention,
                presumed=3 * settings.heartbeat,
            ),
            fresh_epoch=lambda: secrets.token_hex(8),
        )
        connections = Connections(capacity=settings.queue_events)
        delivery = Delivery(
            logs=logs, live=live, connections=connections, process=process
        )
        announcer = Announcer(logs=logs, live=live, graph=graph, delivery=delivery)
        departures = Departures(
            logs=logs, live=live, graph=graph, delivery=delivery, announcer=announcer
        )
        readers = Readers(logs=logs, live=live)
        missed = MissedPosts(
            graph=graph,
            recent=recent,
            logs=logs,
            delivery=delivery,
            clock=clock,
            overlap=settings.celebrity_overlap,
        )
        pace = Pace(
            check=settings.heartbeat,
            refresh=settings.celebrity_refresh,
            overlap=settings.celebrity_overlap,
            retention=settings.log_retention,
        )
        followers = LocalFollowers()
        announcements = Announcements(
            graph=graph,
            recent=recent,
            followers=followers,
            delivery=delivery,
            clock=clock,
            pace=pace,
        )
        following = Following(graph=graph, logs=logs, delivery=delivery, clock=clock)
        celebrities = Celebrities(
            followers=followers,
            following=following,
            announcements=announcements,
            missed=missed,
            logs=logs,
            live=live,
            clock=clock,
            pace=pace,
        )
        subscriptions = Subscriptions(
            logs=logs,
            live=live,
            connections=connections,
            celebrities=celebrities,
            following=following,
            clock=clock,
            process=process,
            limits=StreamLimits(
                streams=settings.streams_per_user,
                read=settings.queue_events,
                heartbeat=settings.heartbeat,
            ),
        )

        standing = Standing(
            graph=graph, connections=connections, every=settings.standing_check
        )

        yield App(
            name=settings.service,
            rpcs={
                add_PushServiceServicer_to_server: PushService(
                    subscriptions=subscriptions
                )
            },
            consumers=[
                bus.consumer(TellPublished(announcer=announcer)),
                bus.consumer(TellDeleted(announcer=announcer)),
                bus.consumer(TellUpdated(announcer=announcer, posts=posts)),
                bus.consumer(ForgetDeleted(readers=readers)),
                bus.consumer(EndSuspended(readers=readers)),
                bus.consumer(TellFollowed(readers=readers, departures=departures)),
                bus.consumer(TellUnfollowed(readers=readers, departures=departures)),
                bus.consumer(TellBlocked(departures=departures)),
                bus.consumer(TellMuted(departures=departures)),
                bus.consumer(TellUnmuted(departures=departures)),
                bus.consumer(TellSuspended(departures=departures)),
                bus.consumer(TellReinstated(departures=departures)),
                bus.consumer(TellGone(departures=departures)),
            ],
            background=[
                Background("subscriptions", subscriptions.run, role="rpc"),
                Background("celebrities", celebrities.run, role="rpc"),
                Background("standing", standing.run, role="rpc"),
            ],
            drains=[subscriptions.drain],
            requires_all={"valkey": valkey.ping},
            reports={"bus": bus.ping},
        )
