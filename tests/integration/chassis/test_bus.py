"""The bus on a real JetStream."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats as nats_py
import pytest
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from feedmesh.ingest.v1.events_pb2 import PostPublished

from chassis import context, tasks
from chassis.bus import Bus, Consumer, NatsSettings, Poison, Retry, open_bus
from chassis.embedded.engines import Ports, open_engines
from chassis.errors import NotFound, Unavailable
from chassis.testing import engines, eventually, nats, refuses

SUBJECT = "ev.ingest.post_published"
AT_ONCE = Retry(after=0.001)


class Handle:
    """A handler that does as a test says, and remembers."""

    event = PostPublished
    durable = "test-consumer"

    def __init__(self, act: Callable[[PostPublished, int], None]) -> None:
        self._act = act
        self.seen: list[int] = []
        self.now = 0
        self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, event: PostPublished) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
            self.seen.append(event.post_id)
            self._act(event, self.seen.count(event.post_id))
        finally:
            self.now -= 1


class HandleMany:
    """A batch handler."""

    event = PostPublished
    durable = "test-batches"

    def __init__(self, bad: set[int]) -> None:
        self._bad = bad
        self.batches: list[list[int]] = []

    async def handle_many(self, events: list[PostPublished]) -> None:
        posts = [event.post_id for event in events]
        self.batches.append(posts)
        for post in posts:
            if post in self._bad:
                raise Poison(f"post {post}")


def fine(event: PostPublished, attempt: int) -> None:
    """Handles it."""


@asynccontextmanager
async def opened(registry: CollectorRegistry | None = None) -> AsyncIterator[Bus]:
    async with (
        nats() as settings,
        open_bus(settings, name="t", metrics=registry) as bus,
    ):
        yield bus


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[None]:
    async with tasks.beside(consumer.run()):
        yield


async def publish(bus: Bus, *posts: int, first: str = "") -> None:
    for post in posts:
        payload = PostPublished(post_id=post).SerializeToString()
        await bus.publish(SUBJECT, payload, msg_id=f"{first}{post}")


async def settled(bus: Bus, durable: str = Handle.durable) -> None:
    """Everything published was acknowledged or terminated."""
    last = (await bus._js.stream_info("EV")).state.last_seq
    try:
        info = await bus._js.consumer_info("EV", durable)
    except NotFoundError:
        raise AssertionError("not yet") from None
    assert info.ack_floor is not None
    assert info.ack_floor.stream_seq == last


async def test_each_event_is_handled_and_acknowledged() -> None:
    """A return is an acknowledgement that the server has confirmed."""
    registry = CollectorRegistry()
    async with opened(registry) as bus:
        handler = Handle(fine)
        async with running(bus.consumer(handler)):
            await publish(bus, *range(100))
            await eventually(lambda: settled(bus))

        assert sorted(handler.seen) == list(range(100))
        labels = {"durable": "test-consumer", "outcome": "ack"}
        assert registry.get_sample_value("bus_handled_total", labels) == 100


async def test_a_message_id_is_stored_once() -> None:
    """A publisher that repeats itself is not heard twice."""
    async with opened() as bus:
        await publish(bus, 1)
        await publish(bus, 1)

        assert (await bus._js.stream_info("EV")).state.messages == 1


async def test_a_retry_comes_again() -> None:
    """The event is delivered until it is handled."""

    def second_time(event: PostPublished, attempt: int) -> None:
        if attempt < 3:
            raise AT_ONCE

    async with opened() as bus:
        handler = Handle(second_time)
        async with running(bus.consumer(handler)):
            await publish(bus, 1)
            await eventually(lambda: settled(bus))

        assert handler.seen == [1, 1, 1]
        assert await bus.dead_letters() == []


async def test_poison_goes_to_the_dead_letters_and_others_pass() -> None:
    """A dead letter says where it came from and why."""

    def poison(event: PostPublished, attempt: int) -> None:
        if event.post_id == 2:
            raise Poison("no such post\nat all")

    async with opened() as bus:
        handler = Handle(poison)
        async with running(bus.consumer(handler)):
            await publish(bus, 1, 2, 3)
            await eventually(lambda: settled(bus))

        [letter] = await bus.dead_letters()
        assert sorted(handler.seen) == [1, 2, 3]
        assert letter.subject == SUBJECT
        assert (letter.sequence, letter.durable) == (2, "test-consumer")
        assert (letter.attempts, letter.error) == (1, "Poison")
        assert letter.message == "no such post at all"
        assert PostPublished.FromString(letter.payload).post_id == 2
        await eventually(lambda: _advised(bus))


async def _advised(bus: Bus) -> bool:
    """The server's own word for it is kept as well."""
    return (await bus._js.stream_info("ADV")).state.messages == 1


async def test_the_last_delivery_ends_among_the_dead_letters() -> None:
    """Eight deliveries, then the event is given up, not lost."""

    def never(event: PostPublished, attempt: int) -> None:
        raise AT_ONCE

    async with opened() as bus:
        handler = Handle(never)
        async with running(bus.consumer(handler)):
            await publish(bus, 1)
            await eventually(lambda: settled(bus))

        [letter] = await bus.dead_letters()
        assert len(handler.seen) == 8
        assert (letter.attempts, letter.error) == (8, "Retry")


async def test_bytes_that_are_no_event_are_poison() -> None:
    """No handler can make sense of them, ever."""
    async with opened() as bus:
        handler = Handle(fine)
        async with running(bus.consumer(handler)):
            await bus.publish(SUBJECT, b"\xff\xff\xff", msg_id="bad")
            await eventually(lambda: settled(bus))

        [letter] = await bus.dead_letters()
        assert letter.error == "DecodeError"
        assert handler.seen == []


async def test_a_dependency_that_is_away_costs_no_delivery() -> None:
    """An outage longer than all retries must not kill every event."""

    def away(event: PostPublished, attempt: int) -> None:
        if attempt < 3:
            raise Unavailable("DEPENDENCY_UNAVAILABLE")

    registry = CollectorRegistry()
    async with opened(registry) as bus:
        handler = Handle(away)
        async with running(bus.consumer(handler)):
            await publish(bus, 1)
            await eventually(lambda: settled(bus))

        assert handler.seen == [1, 1, 1]
        labels = {"durable": "test-consumer", "outcome": "retry"}
        assert not registry.get_sample_value("bus_handled_total", labels)


async def test_no_more_events_at_once_than_the_handler_says() -> None:
    """What is under way is bounded, whatever is waiting."""
    async with opened() as bus:
        handler = Handle(fine)
        handler.max_in_flight = 4  # type: ignore[attr-defined]  # an option of handlers
        handler.gate.clear()
        async with running(bus.consumer(handler)):
            await publish(bus, *range(20))
            await eventually(lambda: handler.now == 4)
            handler.gate.set()
            await eventually(lambda: settled(bus))

        assert handler.most == 4


async def test_draining_finishes_what_is_under_way_and_fetches_no_more() -> None:
    """Events that were not begun are left to the next process."""
    async with opened() as bus:
        handler = Handle(fine)
        handler.max_in_flight = 2  # type: ignore[attr-defined]  # an option of handlers
        handler.gate.clear()
        consumer = bus.consumer(handler)
        run = asyncio.ensure_future(consumer.run())  # noqa: TID251 - awaited below
        await publish(bus, *range(6))
        await eventually(lambda: handler.now == 2)
        drain = asyncio.ensure_future(consumer.drain())  # noqa: TID251 - awaited below
        await asyncio.sleep(0)
        handler.gate.set()
        await asyncio.gather(run, drain)

        assert len(handler.seen) == 2
        rest = Handle(fine)
        async with running(bus.consumer(rest)):
            await eventually(lambda: len(rest.seen) == 4)


async def test_a_batch_is_handled_together() -> None:
    """What has come in goes to the handler at once."""
    async with opened() as bus:
        handler = HandleMany(set())
        await publish(bus, *range(50))
        async with running(bus.consumer(handler)):
            await eventually(lambda: settled(bus, HandleMany.durable))

        assert sorted(itertools.chain(*handler.batches)) == list(range(50))
        assert len(handler.batches) < 10


async def test_one_bad_event_does_not_take_its_batch_with_it() -> None:
    """A batch that fails is handled again one by one."""
    async with opened() as bus:
        handler = HandleMany({3})
        await publish(bus, *range(6))
        async with running(bus.consumer(handler)):
            await eventually(lambda: settled(bus, HandleMany.durable))

        [letter] = await bus.dead_letters()
        assert PostPublished.FromString(letter.payload).post_id == 3
        assert [4] in handler.batches


async def test_a_dead_letter_can_be_replayed() -> None:
    """Once the fault is mended, the event has its effect."""

    def first_time(event: PostPublished, attempt: int) -> None:
        if attempt == 1:
            raise Poison("not yet")

    async with opened() as bus:
        handler = Handle(first_time)
        async with running(bus.consumer(handler)):
            await publish(bus, 1)
            await eventually(lambda: _has_letters(bus))
            [letter] = await bus.dead_letters()
            await bus.replay(letter)
            await eventually(lambda: handler.seen == [1, 1])
            with refuses(NotFound, "INTERNAL"):
                await bus.dead_letter(999)


async def _has_letters(bus: Bus) -> bool:
    return bool(await bus.dead_letters())


async def test_the_request_and_its_trace_go_with_the_event() -> None:
    """What an event causes is found by the request that caused the event."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    seen: list[tuple[str, str]] = []

    def note(event: PostPublished, attempt: int) -> None:
        seen.append((context.request_id(), context.traceparent()))

    async with opened() as bus, running(bus.consumer(Handle(note))):
        headers = {"x-request-id": "r-1", "traceparent": trace}
        payload = PostPublished(post_id=1).SerializeToString()
        await bus.publish(SUBJECT, payload, msg_id="1", headers=headers)
        await eventually(lambda: seen == [("r-1", trace)])


async def test_streams_are_as_they_must_be() -> None:
    """Kept a week, refused when full, never deleted from."""
    async with opened() as bus:
        config = (await bus._js.stream_info("EV")).config
        dead = (await bus._js.stream_info("DLQ")).config

        assert config.max_age == 7 * 86400
        assert config.max_bytes == bus._settings.events_max_bytes
        assert (config.discard, config.retention) == ("new", "limits")
        assert config.max_msg_size == 64 * 1024
        assert config.duplicate_window == 600
        assert (config.deny_delete, config.deny_purge) == (True, True)
        assert dead.max_age == 30 * 86400


async def test_a_vanished_stream_is_made_anew_with_its_consumers() -> None:
    """An empty store after a loss does not stop anybody for good."""
    async with opened() as bus:
        handler = Handle(fine)
        async with running(bus.consumer(handler)):
            await publish(bus, 1)
            await eventually(lambda: handler.seen == [1])
            before = bus.stream_created
            other = await nats_py.connect(engines().nats)
            await other.jetstream().delete_stream("EV")
            await other.close()

            await eventually(lambda: _published(bus, 2))
            await eventually(lambda: 2 in handler.seen, timeout=20)
            assert bus.stream_created != before


async def _published(bus: Bus, post: int) -> None:
    await publish(bus, post, first="again")


async def test_a_bus_that_restarts_is_found_again(tmp_path: Path) -> None:
    """Consumers go on where they were; a service starts without the bus."""
    with open_engines(tmp_path, Ports.free(), only=("nats",)) as embedded:
        settings = NatsSettings(url=embedded.nats_url, start_timeout=0.1)
        await asyncio.to_thread(embedded.stop, "nats")
        handler = Handle(fine)
        async with open_bus(settings, name="t") as bus:
            hints: list[bytes] = []

            async def hear(payload: bytes) -> None:
                hints.append(payload)

            async with running(bus.consumer(handler)), bus.listen("hint.x", hear):
                with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                    await bus.ping()
                await bus.hint("hint.x", b"lost")
                await asyncio.to_thread(embedded.start, "nats")
                await eventually(bus.ping, timeout=20)
                await eventually(lambda: _published(bus, 1))
                await eventually(lambda: handler.seen == [1])

                await asyncio.to_thread(embedded.stop, "nats")
                await asyncio.to_thread(embedded.start, "nats")
                await eventually(lambda: _published(bus, 2), timeout=20)
                await eventually(lambda: handler.seen == [1, 2], timeout=20)
                await eventually(lambda: _hinted(bus, hints))


async def _hinted(bus: Bus, hints: list[bytes]) -> bool:
    await bus.hint("hint.x", b"heard")
    return b"heard" in hints


async def test_one_of_a_queue_hears_a_hint() -> None:
    """Listeners of one queue share the hints; others hear all of them."""
    heard: list[str] = []

    async def first(_: bytes) -> None:
        heard.append("first")

    async def queued(_: bytes) -> None:
        heard.append("queued")

    async with (
        opened() as bus,
        bus.listen("h.*", first),
        bus.listen("h.*", queued, queue="q"),
        bus.listen("h.*", queued, queue="q"),
    ):
        for _ in range(10):
            await bus.hint("h.x", b"")
        await eventually(lambda: heard.count("first") == 10)

        assert heard.count("queued") == 10


async def test_a_listener_survives_its_own_errors() -> None:
    """One bad hint is logged, the next one heard."""
    heard: list[bytes] = []

    async def hear(payload: bytes) -> None:
        heard.append(payload)
        if payload == b"bad":
            raise RuntimeError

    async with opened() as bus, bus.listen("h", hear):
        await bus.hint("h", b"bad")
        await bus.hint("h", b"good")

        await eventually(lambda: heard == [b"bad", b"good"])


async def test_a_missing_dead_letter_stream_is_an_error_for_the_operator() -> None:
    """Nobody mistakes it for an empty one."""
    async with opened() as bus:
        await bus._js.delete_stream("DLQ")
        with pytest.raises(NotFoundError):
            await bus.dead_letters()
