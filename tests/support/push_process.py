"""Push processes over ports in memory, sharing logs and network."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from chassis.testing import FakeClock

from svc_push.announcements import Announcements, Pace
from svc_push.celebrities import Celebrities
from svc_push.connections import Connections
from svc_push.delivery import Announcer, Delivery
from svc_push.departures import Departures
from svc_push.followers import LocalFollowers
from svc_push.following import Following
from svc_push.missed import MissedPosts, RecentPosts
from svc_push.model import Live, LogLimits, Position, ProcessName, UserId
from svc_push.readers import Readers
from svc_push.standing import Standing
from svc_push.subscriptions import StreamLimits, Subscriptions
from tests.support.push import (
    MemoryGraph,
    MemoryNetwork,
    MemoryPosts,
    MemoryReaderLogs,
)

HEARTBEAT = timedelta(seconds=15)
OVERLAP = timedelta(seconds=30)


@dataclass
class World:
    """What all processes share."""

    clock: FakeClock = field(default_factory=FakeClock)
    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    graph: MemoryGraph = field(default_factory=MemoryGraph)
    posts: MemoryPosts = field(default_factory=MemoryPosts)
    logs: MemoryReaderLogs = field(init=False)

    def __post_init__(self) -> None:
        self.logs = MemoryReaderLogs(
            clock=self.clock,
            limits=LogLimits(
                changes=20, retention=timedelta(hours=1), presumed=3 * HEARTBEAT
            ),
        )


class Process:
    """One push process."""

    def __init__(self, world: World, name: str) -> None:
        process = ProcessName(name)
        self.world = world
        self.process = process
        self.connections = Connections(capacity=4)
        self.delivery = Delivery(
            logs=world.logs,
            live=world.network,
            connections=self.connections,
            process=process,
        )
        self.announcer = Announcer(
            logs=world.logs,
            live=world.network,
            graph=world.graph,
            delivery=self.delivery,
        )
        self.readers = Readers(logs=world.logs, live=world.network)
        recent = RecentPosts(posts=world.posts)
        missed = MissedPosts(
            graph=world.graph,
            recent=recent,
            logs=world.logs,
            delivery=self.delivery,
            clock=world.clock,
            overlap=OVERLAP,
        )
        pace = Pace(
            check=HEARTBEAT,
            refresh=timedelta(minutes=5),
            overlap=OVERLAP,
            retention=timedelta(hours=1),
        )
        followers = LocalFollowers()
        self.announcements = Announcements(
            graph=world.graph,
            recent=recent,
            followers=followers,
            delivery=self.delivery,
            clock=world.clock,
            pace=pace,
        )
        self.departures = Departures(
            logs=world.logs,
            live=world.network,
            graph=world.graph,
            delivery=self.delivery,
            announcer=self.announcer,
        )
        self.standing = Standing(
            graph=world.graph,
            connections=self.connections,
            every=timedelta(seconds=60),
        )
        self.following = Following(
            graph=world.graph,
            logs=world.logs,
            delivery=self.delivery,
            clock=world.clock,
        )
        self.celebrities = Celebrities(
            followers=followers,
            following=self.following,
            announcements=self.announcements,
            missed=missed,
            logs=world.logs,
            live=world.network,
            clock=world.clock,
            pace=pace,
        )
        self.subscriptions = Subscriptions(
            logs=world.logs,
            live=world.network,
            connections=self.connections,
            celebrities=self.celebrities,
            following=self.following,
            clock=world.clock,
            process=process,
            limits=StreamLimits(streams=2, read=3, heartbeat=HEARTBEAT),
        )

    @asynccontextmanager
    async def stream(
        self, viewer: UserId, since: Position | None = None
    ) -> AsyncIterator["Client"]:
        """A client of a live stream."""
        client = Client(self.subscriptions.stream(viewer, since))
        try:
            yield client
        finally:
            await client.close()


class Client:
    """Takes events from a stream."""

    def __init__(self, events: AsyncGenerator[Live, None]) -> None:
        self._events = events

    async def close(self) -> None:
        """Ends the stream, as far as it has not ended."""
        await self._events.aclose()

    async def next(self) -> Live:
        """The next event."""
        async with asyncio.timeout(2):
            return await anext(self._events)

    async def posts(self, count: int) -> list[int]:
        """Posts of the next events, each of which must be of one."""
        found = []
        for _ in range(count):
            event = await self.next()
            assert event.change is not None, event
            found.append(int(event.change.post_id))
        return found


@asynccontextmanager
async def running(world: World, *names: str) -> AsyncIterator[list[Process]]:
    """Processes that hear each other's hints; their loops are left to the test."""
    async with AsyncExitStack() as stack:
        processes = [Process(world, name) for name in names]
        for process in processes:
            await stack.enter_async_context(
                world.network.listen(
                    process.process,
                    on_hints=process.subscriptions.hinted,
                    on_signal=process.subscriptions.signalled,
                    on_broadcast=process.celebrities.gone,
                )
            )
        yield processes
