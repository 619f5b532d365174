"""Events that nobody could handle: in the table and the stream, once."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from nats.js.errors import NotFoundError

from feedmesh.graph.v1.events_pb2 import UserFollowed
from feedmesh.ingest.v1.events_pb2 import PostLiked, PostPublished

from chassis import tasks
from chassis.bus import Bus, Consumer, DeadLetter, NatsSettings, Poison, open_bus
from chassis.clock import SystemClock
from chassis.dead_letter_table import DeadLetterTable, Wanted
from chassis.errors import NotFound
from chassis.policy import event_subject
from chassis.postgres import open_pool
from chassis.testing import (
    database,
    engines,
    eventually,
    fault_proxy,
    nats,
    refuses,
)

MORTAL = Path(__file__).with_name("mortal.py")
SUBJECT = event_subject(PostPublished)


class Refuse:
    """A handler that cannot handle anything."""

    event = PostPublished
    durable = "test-refuse"

    def __init__(self) -> None:
        self.seen: list[int] = []

    async def handle(self, event: PostPublished) -> None:
        self.seen.append(event.post_id)
        raise Poison(f"post {event.post_id} is of no use")


@asynccontextmanager
async def opened(**changed: float) -> AsyncIterator[tuple[Bus, DeadLetterTable]]:
    """A bus with the table of a database."""
    async with (
        nats() as settings,
        database("chassis") as place,
        open_pool(place) as pool,
    ):
        table = DeadLetterTable(pool=pool)
        asked = NatsSettings(url=settings.url, **changed)  # type: ignore[arg-type]  # numbers, all of them
        async with open_bus(asked, name="t", letters=table) as bus:
            yield bus, table


@asynccontextmanager
async def running(*consumers: Consumer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(consumer.run()) for consumer in consumers]
        yield
        for task in running:
            task.cancel()


async def publish(bus: Bus, *posts: int) -> None:
    for post in posts:
        event = PostPublished(post_id=post, author_id=100 + post)
        event.envelope.event_id = f"ingest-{post}"
        await bus.publish(SUBJECT, event.SerializeToString(), msg_id=f"ingest-{post}")


async def letters(table: DeadLetterTable, count: int) -> list[DeadLetter]:
    found = await table.find(Wanted())
    assert len(found) == count, found
    return found


async def settled(bus: Bus, durable: str) -> None:
    """The durable of a stream of the server's has nothing left to do."""
    stream = {"dead-letter-desk": "ADV", "dead-letter-files": "DLQ"}.get(durable, "EV")
    try:
        info = await bus._js.consumer_info(stream, durable)
    except NotFoundError:
        raise AssertionError("not yet") from None
    assert info.num_pending == 0
    assert info.num_ack_pending == 0


async def test_a_letter_is_in_the_table_and_in_the_stream() -> None:
    """With its error, whom it names, and the bytes of the event."""
    async with opened() as (bus, table), running(bus.consumer(Refuse())):
        await publish(bus, 7)
        [kept] = await eventually(lambda: letters(table, 1))
        [streamed] = await eventually(lambda: _streamed(bus, 1))

        assert (kept.durable, kept.subject) == ("test-refuse", SUBJECT)
        assert (kept.sequence, kept.attempts) == (1, 1)
        assert (kept.event_id, kept.author_ids) == ("ingest-7", (107,))
        assert (kept.error, kept.message) == ("Poison", "post 7 is of no use")
        assert PostPublished.FromString(kept.payload).post_id == 7
        assert kept.replayed_at is None
        assert kept.address == streamed.address
        assert kept.died_at == streamed.died_at


async def _streamed(bus: Bus, count: int) -> list[DeadLetter]:
    found = await bus.dead_letters()
    assert len(found) == count, found
    return found


async def test_a_letter_that_is_buried_twice_is_one() -> None:
    """A worker may die between burying an event and saying so."""
    async with opened() as (bus, table):
        await publish(bus, 7)
        async with running(bus.consumer(Refuse())):
            [letter] = await eventually(lambda: letters(table, 1))
        await bus.bury_letter(letter)
        await bus.bury_letter(letter)

        assert len(await letters(table, 1)) == 1
        assert len(await _streamed(bus, 1)) == 1


async def test_an_event_is_held_until_the_table_takes_its_letter() -> None:
    """It is not terminated while it would be in neither place."""
    async with (
        nats() as settings,
        database("chassis") as place,
        fault_proxy("127.0.0.1", _port(place.url)) as proxy,
    ):
        through = place.url.replace(f":{_port(place.url)}/", f":{proxy.port}/")
        through_proxy = type(place)(url=through, min_size=0, connect_timeout=0.5)
        asked = NatsSettings(url=settings.url, hold=(0.05, 0.1))
        async with (
            open_pool(through_proxy) as pool,
            open_bus(asked, name="t", letters=DeadLetterTable(pool=pool)) as bus,
            running(bus.consumer(Refuse())),
        ):
            proxy.refuse()
            proxy.reset()
            await publish(bus, 7)
            await eventually(lambda: _held(bus))
            assert await bus.dead_letters() == []
            proxy.heal()

            await eventually(lambda: _streamed(bus, 1))
            await eventually(lambda: letters(DeadLetterTable(pool=pool), 1))
            await eventually(lambda: settled(bus, Refuse.durable))


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])


async def _held(bus: Bus) -> bool:
    pending = (await bus._js.consumer_info("EV", Refuse.durable)).num_ack_pending
    return bool(pending == 1)


async def test_the_desk_files_letters_of_rooms_without_a_table() -> None:
    """The stream alone is not where they stay; those with a table are not filed
    twice."""
    async with (
        opened() as (bus, table),
        open_bus(bus._settings, name="push") as other,
        running(*bus.desk(), other.consumer(Refuse())),
    ):
        await publish(bus, 1, 2)
        found = await eventually(lambda: letters(table, 2))
        assert {letter.event_id for letter in found} == {"ingest-1", "ingest-2"}
        async with database("chassis") as place, open_pool(place) as pool:
            own = DeadLetterTable(pool=pool)
            async with open_bus(bus._settings, name="feed", letters=own) as feed:
                handler = Refuse()
                handler.durable = "test-feed"
                async with running(feed.consumer(handler)):
                    await eventually(lambda: letters(own, 2))
            await eventually(lambda: _streamed(bus, 4))
            await eventually(lambda: settled(bus, "dead-letter-files"))
            await letters(table, 2)


async def test_a_terminated_event_is_no_second_letter() -> None:
    """The server tells of those too; their consumer has buried them."""
    async with opened() as (bus, table), running(*bus.desk(), bus.consumer(Refuse())):
        await publish(bus, 1)
        await eventually(lambda: _advised(bus, 1))
        await eventually(lambda: settled(bus, "dead-letter-desk"))

        [letter] = await letters(table, 1)
        assert letter.error == "Poison"


async def _advised(bus: Bus, count: int) -> bool:
    found: int = (await bus._js.stream_info("ADV")).state.messages
    return found == count


class Worker:
    """A worker process that is started again whenever it dies."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.deaths = 0
        self.handled: list[int] = []

    async def keep_up(self) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(MORTAL),
                *self._arguments,
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdout is not None
            try:
                async for line in process.stdout:
                    self.handled.append(int(line))
                assert await process.wait() == 9
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            self.deaths += 1


async def test_an_event_that_kills_its_worker_is_buried_by_the_desk() -> None:
    """Nobody else could; the crashes end, and no neighbour is taken along."""
    async with opened(ack_wait=1, max_deliver=5) as (bus, table):
        await publish(bus, *range(1, 21))
        worker = Worker(engines().nats, "1", "5", "10")
        async with running(*bus.desk()), tasks.beside(worker.keep_up()):
            [letter] = await eventually(lambda: letters(table, 1), timeout=60)
            await publish(bus, 21)
            await eventually(lambda: 21 in worker.handled, timeout=20)
            await eventually(lambda: settled(bus, "dead-letter-desk"))

        assert worker.deaths == 5
        assert set(worker.handled) == set(range(1, 22)) - {10}
        assert (letter.error, letter.durable) == ("MaxDeliveries", "test-mortal")
        assert (letter.event_id, letter.attempts) == ("ingest-10", 5)
        assert letter.author_ids == (110,)
        await letters(table, 1)
        await _streamed(bus, 1)


async def test_a_letter_buried_by_its_worker_is_not_buried_by_the_desk_too() -> None:
    """It had written the letter, and died before it could end the delivery."""
    async with (
        opened(ack_wait=0.5, max_deliver=1) as (bus, table),
        database("chassis") as place,
        open_pool(place) as pool,
    ):
        own = DeadLetterTable(pool=pool)
        await publish(bus, 1)
        async with (
            open_bus(bus._settings, name="feed", letters=own) as feed,
            feed.puller("test-dead", PostPublished) as puller,
        ):
            [message] = await puller.take(1)
            await feed.bury(message, durable="test-dead", error=Poison("bad"))
            async with running(*bus.desk()):
                # Asked for more, the server notices that this one is used up.
                await puller.ask(1)
                await eventually(lambda: _advised(bus, 1))
                await eventually(lambda: settled(bus, "dead-letter-desk"))
                await eventually(lambda: settled(bus, "dead-letter-files"))

        [letter] = await letters(own, 1)
        assert letter.error == "Poison"
        await letters(table, 0)


async def test_an_event_that_is_gone_when_its_deliveries_are_used_up_is_told() -> None:
    """The letter is there, without the bytes: somebody has to know."""
    async with opened() as (bus, table), running(*bus.desk()):
        said = b'{"stream":"EV","consumer":"test-gone","stream_seq":99,"deliveries":8}'
        await bus._client.publish(
            "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.EV.test-gone", said
        )

        [letter] = await eventually(lambda: letters(table, 1))
        assert (letter.sequence, letter.payload) == (99, b"")
        assert "no longer has it" in letter.message


async def test_letters_are_found_by_whom_and_what_they_name() -> None:
    """Author, reader, time and event; those that were replayed can be left out."""
    async with opened() as (bus, table):
        followed = UserFollowed(follower_id=5, followee_id=6)
        followed.envelope.event_id = "event-0"
        liked = PostLiked(post_id=1, user_id=5, author_id=8)
        liked.envelope.event_id = "event-1"
        for number, event in enumerate([followed, liked]):
            subject = event_subject(type(event))
            await bus.publish(subject, event.SerializeToString(), msg_id=f"{number}")
            handler = Refuse()
            handler.event = type(event)  # type: ignore[assignment]  # any event will do
            handler.durable = f"test-{number}"
            handler.handle = _refuse  # type: ignore[method-assign]  # as above
            async with running(bus.consumer(handler)):
                await eventually(lambda count=number + 1: letters(table, count))  # type: ignore[misc]  # bound now
        now = SystemClock().now()

        async def found(**wanted: object) -> list[str]:
            asked = Wanted(**wanted)  # type: ignore[arg-type]  # as the tests say
            return [letter.event_id for letter in await table.find(asked)]

        assert await found(author_id=6) == ["event-0"]
        assert await found(author_id=8) == ["event-1"]
        assert await found(reader_id=5) == ["event-1", "event-0"]
        assert await found(reader_id=5, author_id=8) == ["event-1"]
        assert await found(event_id="event-0") == ["event-0"]
        assert await found(since=now - timedelta(minutes=1), limit=1) == ["event-1"]
        assert await found(since=now + timedelta(minutes=1)) == []
        [one] = await table.find(Wanted(event_id="event-0"))
        await table.mark_replayed(one, now)
        assert await found(only_waiting=True) == ["event-1"]
        assert (await table.get(one.number)).replayed_at == now
        with refuses(NotFound, "INTERNAL"):
            await table.get(999)


async def _refuse(event: object) -> None:
    raise Poison("no")


async def test_letters_past_their_time_are_dropped() -> None:
    """As long as the stream keeps them, and no longer."""
    async with opened() as (bus, table), running(bus.consumer(Refuse())):
        await publish(bus, 1)
        [letter] = await eventually(lambda: letters(table, 1))
        month = timedelta(days=31)
        await table.keep(replace(letter, sequence=50, died_at=letter.died_at - month))
        await letters(table, 2)
        await table.keep(replace(letter, sequence=51, died_at=letter.died_at + month))

        [newest] = await letters(table, 1)
        assert newest.sequence == 51
