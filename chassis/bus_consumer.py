"""The consumer loop: fetch, dispatch, acknowledge, retry, give up.

Retries are spaced by the worker with delayed negative acks. A dependency that is
away costs an event none of its attempts: it is held, and asked for nothing more.
"""

import asyncio
import random
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog
from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis import tasks
from chassis.bus_delivery import Delivery, Outcomes, Undertaker
from chassis.bus_handlers import AnyHandler
from chassis.bus_pull import Puller, PullLost
from chassis.bus_settings import NatsSettings
from chassis.errors import MeshError
from chassis.meters import BusMeters

log = structlog.get_logger(__name__)

FETCH = 32
BATCH = 256
_LINGER = 0.005
_RECONNECT = (0.1, 5.0)


class Link(Protocol):
    """What a consumer needs of the bus."""

    def puller(
        self, durable: str, event: type[Message]
    ) -> AbstractAsyncContextManager[Puller]:
        """A subscription to the consumer, which is made if it is missing. Waits
        for a connection; what breaks it raises NatsError, OSError or PullLost."""
        ...


class Consumer:
    """One durable consumer. Made by Bus.consumer()."""

    def __init__(
        self,
        *,
        handler: AnyHandler,
        link: Link,
        undertaker: Undertaker,
        settings: NatsSettings,
        meters: BusMeters,
    ) -> None:
        self._handler = handler
        self._link = link
        self._batched = hasattr(handler, "handle_many")
        self._max: int = getattr(
            handler, "max_in_flight", BATCH if self._batched else FETCH
        )
        self._pending = meters.pending.labels(handler.durable)
        self._outcomes = Outcomes(
            handler=handler, undertaker=undertaker, settings=settings, meters=meters
        )
        self._progress_seconds = settings.ack_wait / 3
        self._in_flight: set[Delivery] = set()
        self._changed = asyncio.Condition()
        self._draining = False
        self._puller: Puller | None = None

    @property
    def durable(self) -> str:
        return self._handler.durable

    async def run(self) -> None:
        """Consumes until drain() or cancellation; survives everything else.

        What is under way when it is cancelled is delivered again.
        """
        delay = _RECONNECT[0]
        async with tasks.beside(self._report_progress()), asyncio.TaskGroup() as group:
            while not self._draining:
                try:
                    async with self._link.puller(
                        self.durable, self._handler.event
                    ) as p:
                        delay = _RECONNECT[0]
                        await self._consume(p, group)
                except (NatsError, OSError, MeshError, PullLost) as error:
                    log.warning(
                        "consumer_lost", durable=self.durable, error=repr(error)
                    )
                    await asyncio.sleep(delay * random.uniform(0.5, 1))
                    delay = min(2 * delay, _RECONNECT[1])

    async def drain(self) -> None:
        """Fetches no more, and returns when what is under way has ended."""
        self._draining = True
        self._outcomes.drain()
        if self._puller is not None:
            self._puller.interrupt()
        async with self._changed:
            self._changed.notify_all()
            await self._changed.wait_for(lambda: not self._in_flight)

    async def _consume(self, puller: Puller, group: asyncio.TaskGroup) -> None:
        self._puller = puller
        try:
            while not self._draining:
                await self._room()
                want = min(self._max - len(self._in_flight), BATCH)
                if not self._batched:
                    want = min(want, FETCH)
                linger = _LINGER if self._batched else 0
                messages = await puller.take(want, linger=linger)
                if messages:
                    self._dispatch(messages, group)
        finally:
            self._puller = None
            for message in puller.left():
                await message.nak(delay=1)

    async def _room(self) -> None:
        # A quarter free at least, so that requests do not dwindle to one message.
        limit = 0 if self._batched else self._max - max(1, self._max // 4)
        if len(self._in_flight) > limit:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: self._draining or len(self._in_flight) <= limit
                )

    def _dispatch(self, messages: list[Msg], group: asyncio.TaskGroup) -> None:
        self._pending.set(messages[-1].metadata.num_pending)
        deliveries = [Delivery(message) for message in messages]
        self._in_flight.update(deliveries)
        if self._batched:
            group.create_task(self._handle(deliveries))
        else:
            for delivery in deliveries:
                group.create_task(self._handle([delivery]))

    async def _handle(self, deliveries: list[Delivery]) -> None:
        try:
            if self._batched:
                await self._outcomes.settle_many(deliveries)
            else:
                await self._outcomes.settle(deliveries[0])
        except (NatsError, TimeoutError, OSError) as error:
            # The answer did not reach the server: it will deliver again.
            log.warning("event_not_settled", durable=self.durable, error=repr(error))
        finally:
            async with self._changed:
                self._in_flight.difference_update(deliveries)
                self._changed.notify_all()

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(self._progress_seconds)
            try:
                for delivery in list(self._in_flight):
                    await delivery.in_progress()
            except (NatsError, OSError) as error:
                log.info(
                    "progress_not_reported", durable=self.durable, error=repr(error)
                )
