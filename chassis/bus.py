"""The bus: events over JetStream, hints over core NATS.

A service starts and runs without it: publishing raises Unavailable, consumers and
listeners wait. Streams and consumers that vanish are made anew.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import nats.errors
import nats.js.errors
import structlog
from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import RawStreamMsg
from prometheus_client import CollectorRegistry

from chassis import bus_streams, context, dead_letter_stream, dead_letters, tasks
from chassis.bus_consumer import Consumer
from chassis.bus_events import EventStream, StreamState, answered
from chassis.bus_handlers import AnyHandler, BatchHandler, Handler, Poison, Retry
from chassis.bus_link import BusLink, Source
from chassis.bus_outages import AWAY
from chassis.bus_pull import Puller
from chassis.bus_settings import NatsSettings
from chassis.clock import SystemClock
from chassis.dead_letter_desk import BuryGivenUp, FileLetters, Letters
from chassis.dead_letters import DeadLetter
from chassis.meters import BusMeters, bus_meters
from chassis.policy import event_subject

__all__ = [
    "BatchHandler",
    "Bus",
    "Consumer",
    "DeadLetter",
    "Handler",
    "NatsSettings",
    "Poison",
    "Published",
    "Retry",
    "StreamState",
    "open_bus",
]

log = structlog.get_logger(__name__)

Callback = Callable[[bytes], Awaitable[None]]


class Published(NamedTuple):
    """The server's acknowledgement of an event."""

    sequence: int

    is_duplicate: bool
    """It had that message id already; the sequence is that of the first."""


class Bus:
    """One connection to NATS. Opened by open_bus()."""

    def __init__(
        self,
        *,
        settings: NatsSettings,
        name: str,
        meters: BusMeters,
        letters: Letters | None,
    ) -> None:
        self._settings = settings
        self._meters = meters
        self._letters = letters
        self._clock = SystemClock()
        self._link = BusLink(settings=settings, name=name, meters=meters)
        self._client = self._link.client
        self._js = self._link.js
        self._events = EventStream(client=self._client, js=self._js)

    @property
    def stream_created(self) -> datetime | None:
        """When the stream of events was made; None until that is known."""
        return self._link.created

    @property
    def connections(self) -> int:
        """How many there were so far: behind a new one may be another store."""
        return self._link.connections

    async def stream_state(self) -> StreamState:
        """The stream of events as it is now. Raises Unavailable."""
        self._link.refuse_without_connection()
        return await self._events.state()

    async def message_id(self, sequence: int) -> str | None:
        """The message id of an event that is stored; None when there is none."""
        self._link.refuse_without_connection()
        return await self._events.message_id(sequence)

    async def event_at(self, sequence: int) -> RawStreamMsg | None:
        """An event as it is stored; None when it is not there."""
        self._link.refuse_without_connection()
        return await self._events.at(sequence)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> Published:
        """Publishes an event; returns when it is stored.

        The same msg_id within ten minutes is stored once. Raises Unavailable when
        no acknowledgement came: it may be stored all the same.
        """
        named = {**(headers or {}), dead_letters.MESSAGE_ID: msg_id}
        return await self._publish(subject, payload, named, stream=bus_streams.EVENTS)

    def consumer(self, handler: AnyHandler) -> Consumer:
        """A consumer of the handler's event, to be run by the App."""
        return self._consumer(handler, self)

    def desk(self) -> list[Consumer]:
        """The consumers that see to dead letters which no other could keep. One room
        runs them, whose bus was opened with its table."""
        if self._letters is None:
            raise ValueError("the desk needs the table of a database")
        given_up = Source(
            self._link, bus_streams.ADVISORIES, f"{bus_streams.MAX_DELIVERIES}.>"
        )
        filed = Source(self._link, bus_streams.DEAD, "dlq.>")
        return [
            self._consumer(BuryGivenUp(streams=self), given_up),
            self._consumer(FileLetters(letters=self._letters), filed),
        ]

    async def hint(self, subject: str, payload: bytes = b"") -> None:
        """Sends what may be lost. Without a connection it is."""
        if self._client.is_connected:
            try:
                await self._client.publish(subject, payload)
            except (nats.errors.Error, OSError) as error:
                log.info("hint_lost", subject=subject, error=repr(error))

    @asynccontextmanager
    async def listen(
        self, subject: str, callback: Callback, *, queue: str | None = None
    ) -> AsyncIterator[None]:
        """Calls back with the payload of every hint, one after the other.

        Starts as soon as there is a connection. Of listeners with the same queue
        one gets each hint.
        """

        async def receive(message: Msg) -> None:
            try:
                await callback(message.data)
            except Exception:
                log.exception("hint_failed", subject=subject)

        async def attend() -> None:
            await self._link.connected.wait()
            subscribed.append(
                await self._client.subscribe(subject, queue=queue or "", cb=receive)
            )

        subscribed: list[Subscription] = []
        if self._link.connected.is_set():
            await attend()
        async with tasks.beside(self._nothing() if subscribed else attend()):
            yield
        if subscribed and not self._client.is_closed:
            await subscribed[0].unsubscribe()

    async def ping(self) -> None:
        """Raises Unavailable unless the server answers and has the stream."""
        await self.stream_state()

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters of the stream, newest first."""
        return [letter async for letter in dead_letter_stream.newest(self._js, limit)]

    async def dead_letter(self, number: int) -> DeadLetter:
        """One dead letter of the stream. Raises NotFound."""
        return await dead_letter_stream.get(self._js, number)

    async def has_letter(self, address: str) -> bool:
        """Whether the stream has the dead letter with this address."""
        async with answered():
            return await dead_letter_stream.has(self._js, address)

    async def replay(self, letter: DeadLetter) -> None:
        """Publishes a dead letter again where it was published: the same event id,
        another message id. Every consumer of its subject gets it."""
        await self.publish(
            letter.subject,
            letter.payload,
            msg_id=f"replay-{uuid.uuid4()}",
            headers={context.TRACEPARENT_KEY: letter.trace},
        )

    async def bury(self, message: Msg, *, durable: str, error: Exception) -> None:
        """Puts a message among the dead letters. Raises one of AWAY."""
        await self.bury_letter(
            dead_letters.letter_of(
                message, durable=durable, error=error, died_at=self._clock.now()
            )
        )

    async def bury_letter(self, letter: DeadLetter) -> None:
        """Into the table first, for the stream may be lost; safe to repeat."""
        is_kept = False
        if self._letters is not None:
            try:
                await self._letters.keep(letter)
                is_kept = True
            except AWAY:
                raise
            except Exception:
                # The stream takes what the table refuses.
                log.exception("letter_not_kept", durable=letter.durable)
        headers = letter.headers(is_kept=is_kept)
        await self._publish(
            letter.address, letter.payload, headers, stream=bus_streams.DEAD
        )
        self._meters.dead.labels(letter.durable, letter.error).inc()

    # What a Consumer uses.

    def puller(
        self, durable: str, event: type[Message]
    ) -> AbstractAsyncContextManager[Puller]:
        """A pull subscription to a durable that exists; made when it does not."""
        return self._link.pulling(bus_streams.EVENTS, durable, event_subject(event))

    def _consumer(self, handler: AnyHandler, link: "Bus | Source") -> Consumer:
        return Consumer(
            handler=handler,
            link=link,
            undertaker=self,
            settings=self._settings,
            meters=self._meters,
        )

    async def _publish(
        self, subject: str, payload: bytes, headers: dict[str, str], *, stream: str
    ) -> Published:
        self._link.refuse_without_connection()
        async with answered():
            try:
                ack = await self._js.publish(
                    subject, payload, stream=stream, headers=headers
                )
            except nats.js.errors.NoStreamResponseError:
                self._link.look()
                raise
        return Published(ack.seq, bool(ack.duplicate))

    async def _nothing(self) -> None:
        pass


@asynccontextmanager
async def open_bus(
    settings: NatsSettings,
    *,
    name: str,
    metrics: CollectorRegistry | None = None,
    letters: Letters | None = None,
) -> AsyncIterator[Bus]:
    """Connects in the background, for as long as the block lasts.

    What consumers give up is kept in `letters`, the table of a room's database, and
    in the stream; without a table in the stream alone.
    """
    bus = Bus(settings=settings, name=name, meters=bus_meters(metrics), letters=letters)
    async with tasks.beside(bus._link.stay_connected()):
        try:
            async with asyncio.timeout(settings.start_timeout):
                await bus._link.ready.wait()
        except TimeoutError:
            log.warning("bus_not_there_yet", name=name)
        try:
            yield bus
        finally:
            await bus._link.close()
