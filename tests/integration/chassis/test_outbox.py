"""The outbox from a transaction to the stream."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostPublished

from chassis import tasks
from chassis.bus import Bus, open_bus
from chassis.clock import SystemClock
from chassis.errors import Unavailable
from chassis.ids import Ids, allot_node
from chassis.outbox import Draft, Outbox, OutboxRelay
from chassis.postgres import Pool, open_pool
from chassis.testing import database, eventually, nats, refuses

WAITING = "SELECT count(*) FROM outbox WHERE published_at IS NULL"


class Recorder:
    """A bus that keeps what it is given, or refuses it."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str, PostPublished]] = []
        self.refused: set[int] = set()
        self.stream_created: datetime | None = None

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        event = PostPublished.FromString(payload)
        if event.post_id in self.refused:
            raise Unavailable("DEPENDENCY_UNAVAILABLE")
        self.published.append((subject, msg_id, event))

    @asynccontextmanager
    async def listen(self, subject: str, callback: object) -> AsyncIterator[None]:
        yield

    def posts(self) -> list[int]:
        return [event.post_id for _, _, event in self.published]


class Set:
    """An outbox and its relay on one database."""

    def __init__(self, pool: Pool, bus: Recorder | Bus, node: int) -> None:
        clock = SystemClock()
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

    async def waiting(self) -> int:
        count: int = await self.pool.fetchval(WAITING)
        return count


@asynccontextmanager
async def opened(bus: Recorder | Bus) -> AsyncIterator[Set]:
    async with database("chassis") as settings, open_pool(settings) as pool:
        yield Set(pool, bus, await allot_node(pool))


async def test_an_event_goes_out_with_its_envelope() -> None:
    """The message id is the event id; the subject is that of the contract."""
    bus = Recorder()
    async with opened(bus) as one:
        await one.post(7)
        await one.relay.publish_waiting()

        [(subject, msg_id, event)] = bus.published
        assert subject == "ev.ingest.post_published"
        assert msg_id == event.envelope.event_id
        assert msg_id.startswith("ingest-")
        assert event.envelope.aggregate_id == 7
        assert event.envelope.aggregate_version == 1
        assert event.envelope.HasField("occurred_at")


async def test_an_event_of_a_transaction_that_fails_is_never_published() -> None:
    """It is there if and only if what it says is true."""
    bus = Recorder()
    async with opened(bus) as one:
        try:
            async with one.pool.transaction() as tx:
                event = PostDeleted(post_id=1)
                await one.outbox.append(tx, event, aggregate_id=1, version=2)
                raise RuntimeError
        except RuntimeError:
            pass
        await one.relay.publish_waiting()

        assert bus.published == []


async def test_a_commit_that_comes_late_is_not_passed_over() -> None:
    """Ids are handed out before they are committed, and in another order."""
    bus = Recorder()
    async with opened(bus) as one:
        async with one.pool.transaction() as tx:
            early = PostPublished(post_id=1)
            await one.outbox.append(tx, early, aggregate_id=1, version=1)
            await one.post(2)
            await one.relay.publish_waiting()
            assert bus.posts() == [2]
        await one.relay.publish_waiting()

        assert bus.posts() == [2, 1]


async def test_only_what_the_bus_took_is_marked() -> None:
    """What it refused stays, and goes out later."""
    bus = Recorder()
    async with opened(bus) as one:
        bus.refused = {2}
        await one.post(1, 2, 3)
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await one.relay.publish_waiting()
        assert bus.posts() == [1, 3]
        assert await one.waiting() == 1

        bus.refused = set()
        await one.relay.publish_waiting()
        assert bus.posts() == [1, 3, 2]


async def test_relays_side_by_side_publish_each_event_once() -> None:
    """Rows that another relay holds are skipped."""
    bus = Recorder()
    async with opened(bus) as one:
        other = OutboxRelay(
            pool=one.pool, bus=bus, clock=SystemClock(), source="ingest"
        )
        await one.post(*range(600))
        async with tasks.beside(one.relay.run()), tasks.beside(other.run()):
            await eventually(lambda: len(bus.published) >= 600)
            await eventually(lambda: _none_waits(one))

        assert sorted(bus.posts()) == list(range(600))


async def _none_waits(one: Set) -> bool:
    return await one.waiting() == 0


async def test_the_relay_goes_on_when_the_bus_is_back() -> None:
    """Failures back off and are tried again for ever."""
    bus = Recorder()
    bus.refused = {1}
    async with opened(bus) as one, tasks.beside(one.relay.run()):
        await one.post(1)
        await eventually(
            lambda: one.registry.get_sample_value(
                "outbox_failed_total", {"source": "ingest"}
            )
        )
        bus.refused = set()

        await eventually(lambda: bus.posts() == [1])
        await eventually(lambda: _published(one) == 1)


def _published(one: Set) -> float | None:
    return one.registry.get_sample_value("outbox_published_total", {"source": "ingest"})


async def test_another_stream_gets_everything_kept_again() -> None:
    """The bus is a pipe: what it lost is sent again from the outbox."""
    bus = Recorder()
    now = SystemClock().now()
    bus.stream_created = now - timedelta(hours=1)
    async with opened(bus) as one:
        await one.post(1, 2)
        await one.relay.publish_waiting()
        bus.stream_created = now + timedelta(hours=1)
        await one.relay.publish_waiting()
        await one.relay.publish_waiting()

        assert bus.posts() == [1, 2, 1, 2]


async def test_a_commit_wakes_the_relay() -> None:
    """An event reaches the stream well before the next poll, and once."""
    async with (
        nats() as settings,
        open_bus(settings, name="test") as bus,
        opened(bus) as one,
        tasks.beside(one.relay.run()),
    ):
        for number in range(20):
            await one.post(number)
        await eventually(lambda: _none_waits(one))
        info = await bus._js.stream_info("EV")

        assert info.state.messages == 20


async def test_events_wait_while_nats_is_away() -> None:
    """A service accepts posts without the bus."""
    async with nats() as settings:
        absent = type(settings)(url="nats://127.0.0.1:1", start_timeout=0.1)
        async with open_bus(absent, name="test") as bus, opened(bus) as one:
            await one.post(1)
            with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                await one.relay.publish_waiting()

            assert await one.waiting() == 1
