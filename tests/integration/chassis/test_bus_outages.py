"""Outages and losses: what consumers hold, and what is made anew."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from feedmesh.ingest.v1.events_pb2 import PostPublished

from chassis import tasks
from chassis.bus import Bus, DeadLetter, open_bus
from chassis.bus_settings import NatsSettings
from chassis.errors import Unavailable
from chassis.policy import event_subject
from chassis.postgres import Pool, open_pool
from chassis.testing import FaultProxy, database, eventually, fault_proxy, nats

SUBJECT = event_subject(PostPublished)
# All retries together take less than a second.
QUICK = (0.05,) * 7


class Depend:
    """Needs the database for odd posts, and for even ones nothing."""

    event = PostPublished
    durable = "test-depend"

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.handled: set[int] = set()

    async def handle(self, event: PostPublished) -> None:
        if event.post_id % 2:
            await self._pool.fetchval("SELECT 1")
        self.handled.add(event.post_id)


class Room:
    """A consumer whose database is behind a proxy."""

    def __init__(self, bus: Bus, handler: Depend, proxy: FaultProxy) -> None:
        self.bus = bus
        self.handler = handler
        self.proxy = proxy
        self.registry = CollectorRegistry()

    async def publish(self, *posts: int) -> None:
        for post in posts:
            payload = PostPublished(post_id=post).SerializeToString()
            await self.bus.publish(SUBJECT, payload, msg_id=f"{post}")

    def count(self, name: str) -> float:
        labels = {"durable": Depend.durable}
        return self.registry.get_sample_value(name, labels) or 0


@asynccontextmanager
async def room(**changed: object) -> AsyncIterator[Room]:
    async with nats() as settings, database("chassis") as place:
        port = int(place.url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
        asked = NatsSettings(
            **{"url": settings.url, "hold": (0.05, 0.2), "ladder": QUICK} | changed  # type: ignore[arg-type]  # fields of it
        )
        registry = CollectorRegistry()
        async with fault_proxy("127.0.0.1", port) as proxy:
            through = replace(
                place,
                url=place.url.replace(f":{port}/", f":{proxy.port}/"),
                connect_timeout=0.3,
                command_timeout=0.3,
            )
            async with (
                open_pool(through) as pool,
                open_bus(asked, name="t", metrics=registry) as bus,
            ):
                found = Room(bus, Depend(pool), proxy)
                found.registry = registry
                async with tasks.beside(bus.consumer(found.handler).run()):
                    yield found


def cut(proxy: FaultProxy) -> None:
    proxy.refuse()
    proxy.reset()


@pytest.mark.parametrize("fault", [cut, FaultProxy.freeze], ids=["away", "frozen"])
async def test_an_outage_longer_than_all_retries_costs_no_delivery(
    fault: Callable[[FaultProxy], None],
) -> None:
    """Not even while others, which need nothing, succeed; and nobody dies of it."""
    posts = set(range(45))
    async with room() as one:
        fault(one.proxy)
        # Few enough to leave room for others, which go on meanwhile.
        await one.publish(*range(1, 31, 2))
        held = sum(QUICK) * 60
        await eventually(lambda: one.count("bus_held") > 0)
        await one.publish(*range(0, 45, 2))
        await eventually(lambda: one.count("bus_held_seconds_total") > held, timeout=60)
        assert one.handler.handled == set(range(0, 45, 2))
        await one.publish(*range(31, 45, 2))
        one.proxy.heal()

        await eventually(lambda: one.handler.handled == posts, timeout=30)
        assert one.count("bus_redelivered_total") == 0
        assert await one.bus.dead_letters() == []


async def test_no_more_is_fetched_during_an_outage_than_fits() -> None:
    """The rest stays where it is, with all its deliveries, and comes afterwards."""
    async with room() as one:
        cut(one.proxy)
        posts = set(range(1, 201, 2))
        await one.publish(*posts)
        await eventually(lambda: one.count("bus_held") >= 24)
        await eventually(lambda: one.count("bus_held_seconds_total") > 20, timeout=30)

        info = await one.bus._js.consumer_info("EV", Depend.durable)
        assert info.num_ack_pending is not None
        assert info.num_ack_pending <= 32
        one.proxy.heal()
        await eventually(lambda: one.handler.handled == posts, timeout=30)
        assert one.count("bus_redelivered_total") == 0
        assert await one.bus.dead_letters() == []


class Sulk:
    """Says of one event that a dependency is away, though it is not."""

    event = PostPublished
    durable = "test-sulk"

    def __init__(self) -> None:
        self.handled: set[int] = set()

    async def handle(self, event: PostPublished) -> None:
        if event.post_id == 1:
            raise Unavailable("DEPENDENCY_UNAVAILABLE")
        self.handled.add(event.post_id)


async def test_an_event_that_fails_while_others_succeed_is_to_blame_itself() -> None:
    """It is put off and given up like any other that fails."""
    async with nats() as settings:
        asked = NatsSettings(
            url=settings.url,
            hold=(0.02, 0.02),
            ladder=(0.01,),
            patience=0.2,
            max_deliver=2,
        )
        async with open_bus(asked, name="t") as bus:
            handler = Sulk()
            async with tasks.beside(bus.consumer(handler).run()):
                for post in range(1, 100):
                    payload = PostPublished(post_id=post).SerializeToString()
                    await bus.publish(SUBJECT, payload, msg_id=f"{post}")

                [letter] = await eventually(lambda: _one_letter(bus), timeout=30)
                assert (letter.error, letter.attempts) == ("Unavailable", 2)
                assert handler.handled == set(range(2, 100))


async def _one_letter(bus: Bus) -> list[DeadLetter]:
    found = await bus.dead_letters()
    assert len(found) == 1
    return found


async def test_a_durable_that_vanished_is_made_anew() -> None:
    """It begins at the beginning; handlers do not mind what they have seen."""
    async with room(check_seconds=0.2) as one:
        await one.publish(2, 4)
        await eventually(lambda: one.handler.handled == {2, 4})
        one.handler.handled.clear()
        await one.bus._js.delete_consumer("EV", Depend.durable)
        await one.publish(6)

        await eventually(lambda: one.handler.handled == {2, 4, 6}, timeout=20)


async def test_where_durables_stand_is_shown() -> None:
    """What was handed out, what is settled, what waits."""
    async with room(check_seconds=0.2) as one:
        await one.publish(2, 4, 6)
        await eventually(lambda: one.count("bus_settled_sequence") == 3)

        assert one.count("bus_delivered_sequence") == 3
        assert one.count("bus_pending") == 0
