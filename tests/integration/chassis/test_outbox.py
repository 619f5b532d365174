"""The outbox from a transaction to the stream."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

import asyncpg

from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostPublished

from chassis import tasks
from chassis.bus import open_bus
from chassis.clock import SystemClock
from chassis.errors import MeshError, Unavailable
from chassis.ids import allot_node
from chassis.outbox import OutboxRelay
from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.testing import database, eventually, nats, refuses

from tests.support.outbox import OutboxAndRelay, Recorder, outbox_on, settle

MARKS = "SELECT id, stream_sequence, published_at FROM outbox ORDER BY id"
CLAIMS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'idle in transaction'
"""


async def test_an_event_goes_out_with_its_envelope() -> None:
    """The message id is the event id; the subject is that of the contract."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(7)
        await settle(one.relay)

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
    async with outbox_on(bus) as one:
        try:
            async with one.pool.transaction() as tx:
                event = PostDeleted(post_id=1)
                await one.outbox.append(tx, event, aggregate_id=1, version=2)
                raise RuntimeError
        except RuntimeError:
            pass
        await settle(one.relay)

        assert bus.published == []


async def test_a_commit_that_comes_late_is_not_passed_over() -> None:
    """Ids are handed out before they are committed, and in another order."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        async with one.pool.transaction() as tx:
            early = PostPublished(post_id=1)
            await one.outbox.append(tx, early, aggregate_id=1, version=1)
            await one.post(2)
            await settle(one.relay)
            assert bus.posts() == [2]
        await settle(one.relay)

        assert bus.posts() == [2, 1]


async def test_only_what_the_bus_took_is_marked() -> None:
    """What it refused stays, and goes out later."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        bus.refused = {2}
        await one.post(1, 2, 3)
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await settle(one.relay)
        assert bus.posts() == [1, 3]
        assert await one.waiting() == 1

        bus.refused = set()
        await settle(one.relay)
        assert bus.posts() == [1, 3, 2]


async def test_relays_side_by_side_publish_each_event_once() -> None:
    """Rows that another relay holds are skipped."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        other = OutboxRelay(
            pool=one.pool, bus=bus, clock=SystemClock(), source="ingest"
        )
        await one.post(*range(600))
        async with tasks.beside(one.relay.run()), tasks.beside(other.run()):
            await eventually(lambda: len(bus.published) >= 600)
            await eventually(lambda: _none_waits(one))

        assert sorted(bus.posts()) == list(range(600))


async def _none_waits(one: OutboxAndRelay) -> bool:
    return await one.waiting() == 0


async def test_the_relay_goes_on_when_the_bus_is_back() -> None:
    """Failures back off and are tried again for ever."""
    bus = Recorder()
    bus.refused = {1}
    async with outbox_on(bus) as one, tasks.beside(one.relay.run()):
        await one.post(1)
        await eventually(
            lambda: one.registry.get_sample_value(
                "outbox_failed_total", {"source": "ingest"}
            )
        )
        bus.refused = set()

        await eventually(lambda: bus.posts() == [1])
        await eventually(lambda: _published(one) == 1)


def _published(one: OutboxAndRelay) -> float | None:
    return one.registry.get_sample_value("outbox_published_total", {"source": "ingest"})


async def test_another_stream_gets_everything_kept_again() -> None:
    """The bus is a pipe: what it lost is sent again from the outbox."""
    bus = Recorder()
    now = SystemClock().now()
    bus.stream_created = now - timedelta(hours=1)
    async with outbox_on(bus) as one:
        await one.post(1, 2)
        await settle(one.relay)
        bus.stream_created = now + timedelta(hours=1)
        bus.fall_back(0)
        await settle(one.relay)

        assert bus.posts() == [1, 2, 1, 2]


async def test_a_commit_wakes_the_relay() -> None:
    """An event reaches the stream well before the next poll, and once."""
    async with (
        nats() as settings,
        open_bus(settings, name="test") as bus,
        outbox_on(bus) as one,
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
        async with open_bus(absent, name="test") as bus, outbox_on(bus) as one:
            await one.post(1)
            with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                await settle(one.relay)

            assert await one.waiting() == 1


async def test_a_relay_that_freezes_loses_its_claim_and_its_marks() -> None:
    """Another one takes over; what the first did when it woke up changes nothing."""
    bus = Recorder()
    async with database("chassis") as settings:
        await limit_idle_transactions(settings)
        # Without prepared statements the limits are the database's, as set above.
        pooled = replace(settings, statement_cache_size=0)
        async with open_pool(pooled) as pool:
            zombie = OutboxAndRelay(pool, bus, await allot_node(pool))
            other = OutboxRelay(
                pool=pool, bus=bus, clock=SystemClock(), source="ingest"
            )
            await zombie.relay.publish_waiting()
            await other.publish_waiting()
            await zombie.post(1, 2)
            frozen, woken = asyncio.Event(), asyncio.Event()

            async def freeze() -> None:
                if not woken.is_set():
                    frozen.set()
                    await woken.wait()

            bus.before_publish = freeze
            async with asyncio.TaskGroup() as group:
                stale = group.create_task(outcome(zombie.relay.publish_waiting()))
                await frozen.wait()
                await eventually(lambda: _claims(pool, 0))
                bus.before_publish = None
                await settle(other)
                before = await pool.fetch(MARKS)
                assert bus.posts() == [1, 2]
                woken.set()

            assert isinstance(stale.result(), Unavailable)
            assert await pool.fetch(MARKS) == before
            assert await zombie.waiting() == 0


async def limit_idle_transactions(settings: PostgresSettings) -> None:
    """As the server's own limit, but shorter."""
    connection = await asyncpg.connect(settings.url)
    try:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(
            f'ALTER DATABASE "{name}" SET idle_in_transaction_session_timeout = 300'
        )
    finally:
        await connection.close()


async def outcome(call: Awaitable[bool]) -> bool | MeshError:
    try:
        return await call
    except MeshError as error:
        return error


async def _claims(pool: Pool, count: int) -> bool:
    """Whether so many transactions hold rows."""
    found = await pool.fetchval(CLAIMS)
    return bool(found == count)
