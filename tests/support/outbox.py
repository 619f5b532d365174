"""An outbox, its relay, and a bus that does as a test says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from feedmesh.ingest.v1.events_pb2 import PostPublished

from chassis.bus import Bus, Published, StreamState
from chassis.clock import SystemClock
from chassis.errors import Unavailable
from chassis.ids import Ids, allot_node
from chassis.outbox import Draft, Outbox, OutboxRelay
from chassis.postgres import Pool, open_pool
from chassis.testing import database

WAITING = "SELECT count(*) FROM outbox WHERE published_at IS NULL"


class Recorder:
    """A bus that keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, PostPublished]] = []
        self.refused: set[int] = set()
        self.connections = 1
        self.stream_created: datetime | None = SystemClock().now()
        self.before_publish: Callable[[], Awaitable[None]] | None = None
        # What the stream has: message ids by sequence.
        self.stored: dict[int, str] = {}
        self.last = 0

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> Published:
        if self.before_publish is not None:
            await self.before_publish()
        event = PostPublished.FromString(payload)
        if event.post_id in self.refused:
            raise Unavailable("DEPENDENCY_UNAVAILABLE")
        for sequence, known in self.stored.items():
            if known == msg_id:
                return Published(sequence, is_duplicate=True)
        self.published.append((subject, msg_id, event))
        self.last += 1
        self.stored[self.last] = msg_id
        return Published(self.last, is_duplicate=False)

    async def stream_state(self) -> StreamState:
        assert self.stream_created is not None
        first = min(self.stored, default=self.last + 1)
        missing = set(range(first, self.last + 1)) - set(self.stored)
        return StreamState(
            created=self.stream_created,
            first=first,
            last=self.last,
            missing=tuple(sorted(missing)),
        )

    async def message_id(self, sequence: int) -> str | None:
        return self.stored.get(sequence)

    @asynccontextmanager
    async def listen(self, subject: str, callback: object) -> AsyncIterator[None]:
        yield

    def posts(self) -> list[int]:
        return [event.post_id for _, _, event in self.published]

    def fall_back(self, last: int) -> None:
        """The store is that of an earlier time."""
        self.stored = {seq: name for seq, name in self.stored.items() if seq <= last}
        self.last = last

    def fill(self, count: int) -> None:
        """Others publish."""
        for _ in range(count):
            self.last += 1
            self.stored[self.last] = f"other-{self.last}"


class Shifted(SystemClock):
    """The real time, or another one."""

    def __init__(self) -> None:
        self._shift = timedelta()

    def now(self) -> datetime:
        return super().now() + self._shift

    def jump(self, seconds: float) -> None:
        self._shift += timedelta(seconds=seconds)


class OutboxAndRelay:
    """An outbox and its relay on one database."""

    def __init__(self, pool: Pool, bus: Recorder | Bus, node: int) -> None:
        clock = self.clock = Shifted()
        self.pool = pool
        self.registry = CollectorRegistry()
        hints = bus if isinstance(bus, Bus) else None
        ids = Ids(clock=clock, node=node)
        self.outbox = Outbox(source="ingest", ids=ids, clock=clock, bus=hints)
        self.relay = OutboxRelay(
            pool=pool, bus=bus, clock=clock, source="ingest", metrics=self.registry
        )

    async def post(self, *post_ids: int) -> None:
        async with self.pool.transaction() as tx:
            drafts = [
                Draft(PostPublished(post_id=post_id, author_id=1), post_id, 1)
                for post_id in post_ids
            ]
            await self.outbox.append_all(tx, drafts)
        self.outbox.wake()

    def republished(self) -> float:
        """How many events were published again."""
        labels = {"source": "ingest"}
        count = self.registry.get_sample_value("outbox_republished_total", labels)
        return count or 0

    async def waiting(self) -> int:
        count: int = await self.pool.fetchval(WAITING)
        return count


@asynccontextmanager
async def outbox_on(bus: Recorder | Bus) -> AsyncIterator[OutboxAndRelay]:
    async with database("chassis") as settings, open_pool(settings) as pool:
        yield OutboxAndRelay(pool, bus, await allot_node(pool))


async def settle(relay: OutboxRelay) -> None:
    """Rounds until nothing waits that can go out."""
    while await relay.publish_waiting():
        pass
