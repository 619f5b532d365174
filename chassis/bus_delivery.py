"""How one delivery ends: acknowledged, put off, or among the dead letters."""

import asyncio
import random
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import structlog
from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg
from opentelemetry import propagate, trace

from chassis import context, tracing
from chassis.bus_handlers import AnyHandler, Poison, Retry
from chassis.bus_streams import MAX_DELIVER
from chassis.clock import SystemClock
from chassis.errors import Unavailable
from chassis.meters import BusMeters

log = structlog.get_logger(__name__)

# Seconds until the next delivery, by the number of this one.
LADDER = (1, 5, 15, 30, 60, 120, 300)
_ACK_SECONDS = 2.0
# Between tries of an event whose dependency is away.
_HOLD = (0.5, 10.0)


def ladder(attempt: int) -> float:
    """Seconds until attempt + 1, give or take a fifth."""
    step = LADDER[min(attempt, len(LADDER)) - 1]
    return step * random.uniform(0.8, 1.2)


class Delivery:
    """A message while it is being handled."""

    def __init__(self, message: Msg) -> None:
        self.message = message

    @property
    def attempt(self) -> int:
        return self.message.metadata.num_delivered

    @property
    def is_last(self) -> bool:
        return self.attempt >= MAX_DELIVER

    async def in_progress(self) -> None:
        if not self.message.is_acked:
            await self.message.in_progress()


class Undertaker(Protocol):
    async def bury(self, message: Msg, *, durable: str, error: Exception) -> None: ...


class Outcomes:
    """Runs the handler and settles what was delivered."""

    def __init__(
        self, *, handler: AnyHandler, link: Undertaker, meters: BusMeters
    ) -> None:
        self._durable = handler.durable
        self._event: type[Message] = handler.event
        # One of the two is there; which one, the consumer knows.
        self._one: Any = getattr(handler, "handle", None)
        self._many: Any = getattr(handler, "handle_many", None)
        self._link = link
        self._handled = meters.handled
        self._duration = meters.duration.labels(self._durable)
        self._tracer = tracing.tracer()
        self._clock = SystemClock()
        self._draining = asyncio.Event()
        self._successes = 0

    def drain(self) -> None:
        """Events that are held are put off instead."""
        self._draining.set()

    async def settle(self, delivery: Delivery) -> None:
        """Handles one message. Raises only when the server cannot be told."""
        event = await self._decoded(delivery)
        if event is None:
            return
        headers = delivery.message.headers or {}
        context.enter_request(headers.get(context.REQUEST_ID_KEY))
        context.enter_trace(headers.get(context.TRACEPARENT_KEY))
        with self._span(headers):
            if self._one is not None:
                await self._conclude(delivery, self._one, event)
            else:
                await self._conclude(delivery, self._many, [event])

    async def settle_many(self, deliveries: list[Delivery]) -> None:
        """Handles a batch; one by one when it fails as a whole."""
        decoded = [(d, await self._decoded(d)) for d in deliveries]
        readable = [(d, event) for d, event in decoded if event is not None]
        try:
            await self._timed(self._many, [event for _, event in readable])
        except Exception as error:  # noqa: BLE001 - each event is judged by itself
            if len(readable) > 1:
                log.info("batch_split", durable=self._durable, error=repr(error))
            for delivery, _ in readable:
                await self.settle(delivery)
            return
        for delivery, _ in readable:
            self._successes += 1
            await self._acknowledge(delivery)

    async def _decoded(self, delivery: Delivery) -> Message | None:
        try:
            return self._event.FromString(delivery.message.data)
        except DecodeError as error:
            await self._give_up(delivery, error)
            return None

    async def _conclude(self, delivery: Delivery, handle: Any, argument: Any) -> None:
        held = 0
        while True:
            before = self._successes
            try:
                await self._timed(handle, argument)
            except Poison as error:
                await self._give_up(delivery, error)
            except Retry as error:
                await self._put_off(delivery, error, after=error.after)
            except Unavailable as error:
                # While nobody else succeeds either, it is not this event's fault.
                if self._successes == before and not self._draining.is_set():
                    await self._hold(held)
                    held += 1
                    continue
                await self._put_off(delivery, error)
            except Exception as error:
                log.exception(
                    "event_failed", durable=self._durable, attempt=delivery.attempt
                )
                await self._put_off(delivery, error)
            else:
                self._successes += 1
                await self._acknowledge(delivery)
            return

    async def _timed(self, handle: Any, argument: Any) -> None:
        began = self._clock.monotonic()
        try:
            await handle(argument)
        finally:
            self._duration.observe(self._clock.monotonic() - began)

    async def _hold(self, held: int) -> None:
        delay = min(_HOLD[0] * 2**held, _HOLD[1]) * random.uniform(0.8, 1.2)
        if held == 0:
            log.warning("consumer_held", durable=self._durable, seconds=delay)
        self._handled.labels(self._durable, "held").inc()
        try:
            async with asyncio.timeout(delay):
                await self._draining.wait()
        except TimeoutError:
            pass

    async def _acknowledge(self, delivery: Delivery) -> None:
        await delivery.message.ack_sync(timeout=_ACK_SECONDS)
        self._handled.labels(self._durable, "ack").inc()

    async def _put_off(
        self, delivery: Delivery, error: Exception, *, after: float | None = None
    ) -> None:
        if delivery.is_last:
            await self._give_up(delivery, error)
            return
        delay = ladder(delivery.attempt) if after is None else after
        # Never a bare negative ack: it redelivers at once.
        await delivery.message.nak(delay=max(delay, 0.001))
        self._handled.labels(self._durable, "retry").inc()

    async def _give_up(self, delivery: Delivery, error: Exception) -> None:
        """Among the dead letters first, terminated then: never in neither place."""
        held = 0
        while True:
            try:
                await self._link.bury(
                    delivery.message, durable=self._durable, error=error
                )
            except Unavailable:
                if self._draining.is_set():
                    await delivery.message.nak(delay=1)
                    return
                await self._hold(held)
                held += 1
            else:
                break
        await delivery.message.term()
        self._handled.labels(self._durable, "dead").inc()
        log.error("event_dead", durable=self._durable, error=repr(error))

    def _span(self, headers: dict[str, str]) -> AbstractContextManager[object]:
        if self._tracer is None:
            return nullcontext()
        return self._tracer.start_as_current_span(
            f"{self._durable} process",
            context=propagate.extract(headers),
            kind=trace.SpanKind.CONSUMER,
        )
