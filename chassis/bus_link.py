"""The connection of a bus: kept up, its streams made what they should be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import nats.js.errors
import structlog
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis import bus_streams
from chassis.bus_events import LOST, unavailable
from chassis.bus_positions import Positions
from chassis.bus_pull import Puller, open_puller
from chassis.bus_settings import NatsSettings
from chassis.meters import BusMeters

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 0.5


class BusLink:
    """One connection, and what is looked after on it."""

    def __init__(self, *, settings: NatsSettings, name: str, meters: BusMeters) -> None:
        self._settings = settings
        self._name = name
        self.client = Client()
        self.js = JetStreamContext(self.client, timeout=settings.publish_timeout)
        self.connected = asyncio.Event()
        self.ready = asyncio.Event()
        """Set once the streams are there."""

        self.connections = 0
        self.created: datetime | None = None
        """When the stream of events was made."""

        self._positions = Positions(js=self.js, meters=meters)
        self._stale = asyncio.Event()

    def look(self) -> None:
        """Something is missing: streams are looked after now, not in a minute."""
        self._stale.set()

    def refuse_without_connection(self) -> None:
        """Raises Unavailable at once where a call would wait for its timeout."""
        if not self.client.is_connected:
            raise unavailable()

    @asynccontextmanager
    async def pulling(
        self, stream: str, durable: str, subject: str
    ) -> AsyncIterator[Puller]:
        """A pull subscription to a durable that exists; made when it does not."""
        await self.ready.wait()
        config = bus_streams.consumer_config(durable, subject, self._settings)
        try:
            await self.js.add_consumer(stream, config)
        except nats.js.errors.NotFoundError:
            self.look()
            raise
        async with open_puller(self.client, stream=stream, durable=durable) as puller:
            self._positions.add(puller, stream, durable)
            try:
                yield puller
            finally:
                self._positions.drop(puller)

    async def stay_connected(self) -> None:
        """Until it is cancelled. Looks after the streams on each connection, when
        told to, and every minute."""
        await self.client.connect(
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
        self.connections += 1
        self.connected.set()
        self._stale.set()
        while True:
            await self._until_due()
            self._stale.clear()
            try:
                self.created = await bus_streams.ensure(self.js, self._settings)
                self.ready.set()
                await self._positions.check()
            except LOST as error:
                log.warning("streams_not_ensured", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
                self._stale.set()

    async def _until_due(self) -> None:
        """Until something may have changed, or it is time for another look."""
        try:
            async with asyncio.timeout(self._settings.check_seconds):
                await self._stale.wait()
        except TimeoutError:
            pass

    async def _on_reconnected(self) -> None:
        log.info("bus_reconnected")
        # The store may be another one, and pull requests are forgotten.
        self.connections += 1
        self._stale.set()
        self._positions.lose()

    async def _on_lost(self) -> None:
        log.warning("bus_disconnected")

    async def _on_error(self, error: Exception) -> None:
        log.info("bus_error", error=repr(error))

    async def close(self) -> None:
        if self.client.is_connected:
            await self.client.flush()
        await self.client.close()


@dataclass(frozen=True)
class Source:
    """Where a consumer that is not of events finds its messages."""

    link: BusLink
    stream: str
    subject: str

    def puller(
        self, durable: str, event: type[Message]
    ) -> AbstractAsyncContextManager[Puller]:
        del event  # What lies in such a stream is no event of the contract.
        return self.link.pulling(self.stream, durable, self.subject)
