"""The bus: events over JetStream, hints over core NATS.

A service starts and runs without it: publishing raises Unavailable, consumers and
listeners wait. Streams and consumers that vanish are made anew.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import nats.errors
import nats.js.errors
import structlog
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from chassis import bus_streams, dead_letters, tasks
from chassis.bus_consumer import Consumer
from chassis.bus_handlers import AnyHandler, BatchHandler, Handler, Poison, Retry
from chassis.bus_pull import Puller, open_puller
from chassis.dead_letters import DeadLetter
from chassis.errors import Unavailable
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
    "Retry",
    "open_bus",
]

log = structlog.get_logger(__name__)

Callback = Callable[[bytes], Awaitable[None]]

_RETRY_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class NatsSettings:
    """How to reach NATS, and how large its streams may grow."""

    url: str
    """nats://user:password@host:port; several, comma-separated, for a cluster."""

    replicas: int = 1
    """Copies of each stream: 3 in a cluster."""

    events_max_bytes: int = 4 << 30
    """Size of the stream of events; beyond it events wait in the outbox."""

    dead_max_bytes: int = 256 << 20
    """Size of the stream of dead letters; beyond it the oldest go."""

    publish_timeout: float = 2
    """Seconds to wait for the acknowledgement of an event."""

    start_timeout: float = 2
    """Seconds that opening waits for a connection before going on without."""


class Bus:
    """One connection to NATS. Opened by open_bus()."""

    def __init__(self, *, settings: NatsSettings, name: str, meters: BusMeters) -> None:
        self._settings = settings
        self._name = name
        self._meters = meters
        self._client = Client()
        self._js = JetStreamContext(self._client, timeout=settings.publish_timeout)
        self._limits = bus_streams.StreamLimits(
            replicas=settings.replicas,
            events_max_bytes=settings.events_max_bytes,
            dead_max_bytes=settings.dead_max_bytes,
        )
        self._connected = asyncio.Event()
        self._ready = asyncio.Event()
        self._stale = asyncio.Event()
        self._created: datetime | None = None
        self._pullers: set[Puller] = set()

    @property
    def stream_created(self) -> datetime | None:
        """When the stream of events was made; None until that is known."""
        return self._created

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        msg_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publishes an event; returns when it is stored.

        The same msg_id within ten minutes is stored once. Raises Unavailable when
        no acknowledgement came: it may be stored all the same.
        """
        named = {**(headers or {}), dead_letters.MESSAGE_ID: msg_id}
        await self._publish(subject, payload, named, stream=bus_streams.EVENTS)

    def consumer(self, handler: AnyHandler) -> Consumer:
        """A consumer of the handler's event, to be run by the App."""
        return Consumer(handler=handler, link=self, meters=self._meters)

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
            await self._connected.wait()
            subscribed.append(
                await self._client.subscribe(subject, queue=queue or "", cb=receive)
            )

        subscribed: list[Subscription] = []
        if self._connected.is_set():
            await attend()
        async with tasks.beside(self._nothing() if subscribed else attend()):
            yield
        if subscribed and not self._client.is_closed:
            await subscribed[0].unsubscribe()

    async def ping(self) -> None:
        """Raises Unavailable unless the server answers and has the stream."""
        if not self._client.is_connected:
            raise _unavailable()
        try:
            await self._js.stream_info(bus_streams.EVENTS)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise _unavailable() from error

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """The newest dead letters, newest first."""
        return [letter async for letter in dead_letters.newest(self._js, limit)]

    async def dead_letter(self, number: int) -> DeadLetter:
        """One dead letter. Raises NotFound."""
        return await dead_letters.get(self._js, number)

    async def replay(self, number: int) -> DeadLetter:
        """Publishes a dead letter again where it was published: the same event id,
        another message id. Every consumer of its subject gets it. Raises NotFound."""
        letter = await self.dead_letter(number)
        await self.publish(
            letter.subject,
            letter.payload,
            msg_id=f"replay-{uuid.uuid4()}",
            headers={dead_letters.TRACE: letter.trace},
        )
        return letter

    # What a Consumer uses.

    @asynccontextmanager
    async def puller(self, durable: str, event: type[Message]) -> AsyncIterator[Puller]:
        """A pull subscription to a durable that exists; made when it does not."""
        await self._ready.wait()
        try:
            await self._js.add_consumer(
                bus_streams.EVENTS,
                bus_streams.consumer_config(
                    durable, event_subject(event), self._settings.replicas
                ),
            )
        except nats.js.errors.NotFoundError:
            self._stale.set()
            raise
        opened = open_puller(self._client, stream=bus_streams.EVENTS, durable=durable)
        async with opened as puller:
            self._pullers.add(puller)
            try:
                yield puller
            finally:
                self._pullers.discard(puller)

    async def bury(self, message: Msg, *, durable: str, error: Exception) -> None:
        headers = dead_letters.headers_of(message, durable=durable, error=error)
        await self._publish(
            f"dlq.{durable}", message.data, headers, stream=bus_streams.DEAD
        )

    async def _publish(
        self, subject: str, payload: bytes, headers: dict[str, str], *, stream: str
    ) -> None:
        if not self._client.is_connected:
            raise _unavailable()
        try:
            await self._js.publish(subject, payload, stream=stream, headers=headers)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            if isinstance(error, nats.js.errors.NoStreamResponseError):
                self._stale.set()
            raise _unavailable() from error

    async def _stay_connected(self) -> None:
        await self._client.connect(
            [url.strip() for url in self._settings.url.split(",")],
            name=self._name,
            connect_timeout=2,
            reconnect_time_wait=_RETRY_SECONDS,  # type: ignore[arg-type]  # slept only
            max_reconnect_attempts=-1,
            ping_interval=20,
            error_cb=self._on_error,
            disconnected_cb=self._on_lost,
            reconnected_cb=self._on_reconnected,
        )
        self._connected.set()
        self._stale.set()
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                self._created = await bus_streams.ensure(self._js, self._limits)
            except (nats.errors.Error, TimeoutError, OSError) as error:
                log.warning("streams_not_ensured", error=repr(error))
                self._stale.set()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._ready.set()

    async def _on_reconnected(self) -> None:
        log.info("bus_reconnected")
        # The store may be another one, and pull requests are forgotten.
        self._stale.set()
        for puller in list(self._pullers):
            puller.lose()

    async def _on_lost(self) -> None:
        log.warning("bus_disconnected")

    async def _on_error(self, error: Exception) -> None:
        log.info("bus_error", error=repr(error))

    async def _nothing(self) -> None:
        pass

    async def close(self) -> None:
        if self._client.is_connected:
            await self._client.flush()
        await self._client.close()


@asynccontextmanager
async def open_bus(
    settings: NatsSettings, *, name: str, metrics: CollectorRegistry | None = None
) -> AsyncIterator[Bus]:
    """Connects in the background, for as long as the block lasts."""
    bus = Bus(settings=settings, name=name, meters=bus_meters(metrics))
    async with tasks.beside(bus._stay_connected()):
        try:
            async with asyncio.timeout(settings.start_timeout):
                await bus._ready.wait()
        except TimeoutError:
            log.warning("bus_not_there_yet", name=name)
        try:
            yield bus
        finally:
            await bus.close()


def _unavailable() -> Unavailable:
    return Unavailable(
        "DEPENDENCY_UNAVAILABLE", "the event bus does not answer", retry_after=1
    )
