"""Durables that stand where they cannot."""

from datetime import UTC, datetime

from nats.js.api import (
    ConsumerConfig,
    ConsumerInfo,
    SequenceInfo,
    StreamConfig,
    StreamInfo,
    StreamState,
)
from nats.js.errors import NotFoundError
from prometheus_client import CollectorRegistry

from chassis.bus_positions import Positions
from chassis.meters import bus_meters


class Server:
    """The answers of a server with one stream and one durable."""

    def __init__(self, *, last: int, delivered: int | None, pending: int = 0) -> None:
        self._last = last
        self._delivered = delivered
        self._pending = pending
        self.deleted: list[str] = []

    async def consumer_info(self, stream: str, consumer: str) -> ConsumerInfo:
        if self._delivered is None:
            raise NotFoundError
        at = SequenceInfo(consumer_seq=1, stream_seq=self._delivered)
        return ConsumerInfo(
            name=consumer,
            stream_name=stream,
            config=ConsumerConfig(),
            created=datetime(2026, 1, 1, tzinfo=UTC),
            delivered=at,
            ack_floor=at,
            num_pending=self._pending,
        )

    async def stream_info(self, name: str) -> StreamInfo:
        state = StreamState(
            messages=1, bytes=1, first_seq=1, last_seq=self._last, consumer_count=1
        )
        return StreamInfo(config=StreamConfig(name=name), state=state)

    async def delete_consumer(self, stream: str, consumer: str) -> bool:
        self.deleted.append(f"{stream}/{consumer}")
        return True


class Subscription:
    """A puller that says whether it has to be opened again."""

    def __init__(self) -> None:
        self.lost = 0

    def lose(self) -> None:
        self.lost += 1


async def checked(server: Server) -> tuple[Subscription, CollectorRegistry]:
    registry = CollectorRegistry()
    positions = Positions(js=server, meters=bus_meters(registry))
    puller = Subscription()
    positions.add(puller, "EV", "feed-fan-out")
    await positions.check()
    return puller, registry


async def test_a_durable_beyond_the_end_is_made_anew() -> None:
    """It would say nothing until the stream had caught up with it."""
    server = Server(last=50, delivered=100)
    puller, registry = await checked(server)

    assert server.deleted == ["EV/feed-fan-out"]
    assert puller.lost == 1
    labels = {"durable": "feed-fan-out"}
    assert registry.get_sample_value("bus_remade_total", labels) == 1


async def test_a_durable_that_vanished_is_opened_again() -> None:
    """Opening makes it."""
    puller, _ = await checked(Server(last=50, delivered=None))

    assert puller.lost == 1


async def test_a_durable_within_the_stream_is_left_alone() -> None:
    """However far it is behind, which is shown."""
    server = Server(last=100_000, delivered=100, pending=99_900)
    puller, registry = await checked(server)

    assert (server.deleted, puller.lost) == ([], 0)
    labels = {"durable": "feed-fan-out"}
    assert registry.get_sample_value("bus_pending", labels) == 99_900
    assert registry.get_sample_value("bus_delivered_sequence", labels) == 100
