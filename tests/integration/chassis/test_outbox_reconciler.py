"""What the stream lost is published again, whatever way it was lost."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from feedmesh.ingest.v1.events_pb2 import PostPublished

from chassis import tasks
from chassis.bus import Bus, NatsSettings, open_bus
from chassis.embedded.engines import Engines, Ports, open_engines
from chassis.outbox import OutboxRelay
from chassis.testing import eventually, nats

from tests.support.outbox import OutboxAndRelay, Recorder, outbox_on, settle


class Remember:
    """A handler whose effect is a set, as those of the rooms: once for each event."""

    event = PostPublished
    durable = "test-remember"

    def __init__(self) -> None:
        self.deliveries: list[int] = []
        self.effects: dict[str, int] = {}

    async def handle(self, event: PostPublished) -> None:
        self.deliveries.append(event.post_id)
        self.effects.setdefault(event.envelope.event_id, event.post_id)

    def has_once(self, *posts: int) -> bool:
        return sorted(self.effects.values()) == sorted(posts)


@asynccontextmanager
async def path(
    folder: Path, handler: Remember
) -> AsyncIterator[tuple[Engines, Bus, OutboxAndRelay]]:
    """An outbox, its relay, a NATS server of its own, and a consumer."""
    with open_engines(folder, Ports.free(), only=("nats",)) as embedded:
        settings = NatsSettings(url=embedded.nats_url, ack_wait=2)
        async with (
            open_bus(settings, name="t", metrics=CollectorRegistry()) as bus,
            outbox_on(bus) as one,
            tasks.beside(one.relay.run()),
            tasks.beside(bus.consumer(handler).run()),
        ):
            yield embedded, bus, one


def store(embedded: Engines) -> Path:
    return embedded.folder / "nats" / "data"


async def end(embedded: Engines) -> None:
    await asyncio.to_thread(embedded.stop, "nats")


async def begin(embedded: Engines) -> None:
    await asyncio.to_thread(embedded.start, "nats")


async def test_a_store_deleted_while_the_server_is_down_is_filled_again(
    tmp_path: Path,
) -> None:
    """Nobody has to do anything: streams, durable and events are there again."""
    handler = Remember()
    async with path(tmp_path, handler) as (embedded, bus, one):
        await one.post(1, 2, 3)
        await eventually(lambda: handler.has_once(1, 2, 3))
        await end(embedded)
        shutil.rmtree(store(embedded))
        store(embedded).mkdir()
        await one.post(4)
        await begin(embedded)

        await eventually(lambda: handler.has_once(1, 2, 3, 4), timeout=30)
        await eventually(lambda: len(handler.deliveries) >= 7, timeout=30)
        assert (await bus.stream_state()).last == 4
        assert one.republished() == 3


async def test_a_store_deleted_under_a_running_server_is_filled_again(
    tmp_path: Path,
) -> None:
    """The loss shows when the server is started the next time."""
    handler = Remember()
    async with path(tmp_path, handler) as (embedded, _, one):
        await one.post(1, 2)
        await eventually(lambda: handler.has_once(1, 2))
        for streams in store(embedded).rglob("msgs"):
            shutil.rmtree(streams)
        await end(embedded)
        await one.post(3)
        await begin(embedded)

        await eventually(lambda: handler.has_once(1, 2, 3), timeout=30)
        await eventually(lambda: sorted(handler.deliveries) >= [1, 1, 2, 2, 3])


async def test_a_store_that_fell_back_gets_again_what_it_forgot(
    tmp_path: Path,
) -> None:
    """B, published after the copy, arrives again; A, before it, has its effect once."""
    handler = Remember()
    async with path(tmp_path, handler) as (embedded, bus, one):
        await one.post(1)
        await eventually(lambda: handler.has_once(1))
        await end(embedded)
        shutil.copytree(store(embedded), tmp_path / "copy")
        await begin(embedded)
        await eventually(bus.ping, timeout=20)
        await one.post(2, 3)
        await eventually(lambda: handler.has_once(1, 2, 3), timeout=20)
        await end(embedded)
        shutil.rmtree(store(embedded))
        shutil.copytree(tmp_path / "copy", store(embedded))
        await begin(embedded)

        await eventually(lambda: handler.deliveries.count(2) == 2, timeout=30)
        await eventually(lambda: handler.deliveries.count(3) == 2)
        assert handler.deliveries.count(1) == 1
        assert handler.has_once(1, 2, 3)
        assert one.republished() == 2


async def test_nothing_is_published_again_that_is_there() -> None:
    """However many relays publish while their outbox is compared."""
    async with (
        nats() as settings,
        open_bus(settings, name="t", metrics=CollectorRegistry()) as bus,
        outbox_on(bus) as one,
    ):
        other = OutboxRelay(pool=one.pool, bus=bus, clock=one.clock, source="ingest")
        async with tasks.beside(one.relay.run()), tasks.beside(other.run()):
            for batch in range(20):
                await one.post(*range(100 * batch, 100 * (batch + 1)))
                assert await one.relay.check() == 0
            await eventually(lambda: _none_waits(one))
        assert await one.relay.check() == 0
        assert (await bus._js.stream_info("EV")).state.messages == 2000
        assert one.republished() == 0


async def _none_waits(one: OutboxAndRelay) -> bool:
    return await one.waiting() == 0


async def test_a_fall_that_others_covered_up_is_found_by_name() -> None:
    """The sequences are there again, but they are those of somebody else's events."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(1, 2, 3, 4)
        await settle(one.relay)
        bus.fall_back(2)
        bus.fill(10)

        assert await one.relay.check() == 2
        await settle(one.relay)
        assert bus.posts() == [1, 2, 3, 4, 3, 4]
        assert await one.relay.check() == 0


async def test_a_sequence_given_twice_stops_the_marks_until_all_is_compared() -> None:
    """What is published just then does not cover up what was lost before it."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(1, 2, 3)
        await settle(one.relay)
        bus.fall_back(1)
        await one.post(4)
        await settle(one.relay)

        assert sorted(bus.posts()) == [1, 2, 2, 3, 3, 4]
        assert await one.relay.check() == 0


async def test_nothing_goes_out_on_a_new_connection_before_the_stream_is_compared() -> (
    None
):
    """Others may have carried the stream beyond the mark before this relay's turn."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(1, 2, 3)
        await settle(one.relay)
        bus.fall_back(1)
        bus.fill(100)
        bus.connections += 1
        await one.post(4)
        await settle(one.relay)

        assert sorted(bus.posts()) == [1, 2, 2, 3, 3, 4]


async def test_a_connection_that_changes_meanwhile_takes_the_marks_back() -> None:
    """Behind it may be another store: the round is compared and done again."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(1, 2, 3)
        await settle(one.relay)

        async def restarts() -> None:
            bus.before_publish = None
            bus.fall_back(1)
            bus.fill(100)
            bus.connections += 1

        bus.before_publish = restarts
        await one.post(4)
        await settle(one.relay)

        assert sorted(bus.posts()) == [1, 2, 2, 3, 3, 4]


async def test_a_lost_beginning_is_published_again() -> None:
    """Files of a store can go one by one, the oldest too."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(1, 2, 3, 4, 5)
        await settle(one.relay)
        del bus.stored[1], bus.stored[2]

        assert await one.relay.check() == 2
        await settle(one.relay)
        assert bus.posts()[5:] == [1, 2]
        assert await one.relay.check() == 0


async def test_a_gap_is_published_again() -> None:
    """Also where nobody looks of himself: between the events that are compared."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(*range(1, 10))
        await settle(one.relay)
        del bus.stored[7]

        assert await one.relay.check() == 1
        await settle(one.relay)
        assert bus.posts()[9:] == [7]
        assert await one.relay.check() == 0


async def test_another_stream_gets_what_has_no_sequence_too() -> None:
    """Events may have gone out before sequences were noted."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(1, 2)
        await settle(one.relay)
        await one.pool.execute("UPDATE outbox SET stream_sequence = NULL")
        bus.fall_back(0)
        bus.stream_created = one.clock.now() + timedelta(hours=1)
        await settle(one.relay)

        assert bus.posts() == [1, 2, 1, 2]


async def test_what_the_stream_let_go_in_time_stays_gone() -> None:
    """A week is what it keeps; that is no loss."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        one.clock.jump(-timedelta(days=7).total_seconds())
        await one.post(1)
        one.clock.jump(timedelta(days=7).total_seconds())
        await one.post(2)
        await settle(one.relay)
        del bus.stored[1]

        assert await one.relay.check() == 0


async def test_a_lost_event_has_another_message_id() -> None:
    """The broker may still know the old one, and would fold the two."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(1)
        await settle(one.relay)
        bus.fall_back(0)
        await one.relay.check()
        await settle(one.relay)

        (_, first, event), (_, second, again) = bus.published
        assert first != second
        assert event.envelope.event_id == again.envelope.event_id == first


async def test_what_comes_again_does_not_hold_up_what_happens_now() -> None:
    """The newest go out with the oldest while many wait."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        await one.post(*range(600))
        await one.post(9999)
        await one.relay.publish_waiting()
        await one.relay.publish_waiting()

        assert 9999 in bus.posts()[:256]


async def test_the_marks_are_shown() -> None:
    """How far the outbox got, and how far the stream."""
    bus = Recorder()
    async with outbox_on(bus) as one:
        bus.fill(5)
        await one.post(1)
        await settle(one.relay)
        bus.fill(1)
        await one.relay.check()

        labels = {"source": "ingest"}
        assert one.registry.get_sample_value("outbox_sequence", labels) == 6
        assert one.registry.get_sample_value("outbox_stream_sequence", labels) == 7
