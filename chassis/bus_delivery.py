"""How one delivery ends: acknowledged, put off, or among the dead letters."""

import random
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    nullcontext,
)
from typing import Any, Protocol

import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from opentelemetry import propagate, trace

from chassis import context, tracing
from chassis.bus_handlers import AnyHandler, Poison, Retry
from chassis.bus_outages import AWAY, Outages
from chassis.bus_settings import NatsSettings
from chassis.bus_suspects import Suspects, order
from chassis.clock import SystemClock
from chassis.meters import BusMeters

log = structlog.get_logger(__name__)

_ACK_SECONDS = 2.0


def spaced(steps: tuple[float, ...], attempt: int) -> float:
    """Seconds until attempt + 1, give or take a fifth."""
    step = steps[min(attempt, len(steps)) - 1]
    return step * random.uniform(0.8, 1.2)


class Delivery:
    """A message while it is being handled."""

    def __init__(self, message: Msg) -> None:
        self.message = message
        metadata = message.metadata
        self.attempt = metadata.num_delivered
        self.sequence = metadata.sequence.stream

    async def in_progress(self) -> None:
        if not self.message.is_acked:
            await self.message.in_progress()


class Undertaker(Protocol):
    async def bury(self, message: Msg, *, durable: str, error: Exception) -> None:
        """Puts a message among the dead letters; raises one of AWAY when it cannot."""
        ...


class Outcomes:
    """Runs the handler and settles what was delivered."""

    def __init__(
        self,
        *,
        handler: AnyHandler,
        undertaker: Undertaker,
        settings: NatsSettings,
        meters: BusMeters,
    ) -> None:
        self._durable = handler.durable
        # One of the two is there; which one, the consumer knows.
        self._one: Any = getattr(handler, "handle", None)
        self._many: Any = getattr(handler, "handle_many", None)
        self._decode: Any = getattr(handler, "decode", None) or (
            lambda message: handler.event.FromString(message.data)
        )
        self._undertaker = undertaker
        self._settings = settings
        self._handled = meters.handled
        self._redelivered = meters.redelivered.labels(self._durable)
        self._duration = meters.duration.labels(self._durable)
        self._tracer = tracing.tracer()
        self._clock = SystemClock()
        self._outages = Outages(
            durable=self._durable, clock=self._clock, settings=settings, meters=meters
        )
        self._suspects = Suspects()

    def drain(self) -> None:
        """Events that are held are put off instead."""
        self._outages.drain()

    async def settle(self, delivery: Delivery) -> None:
        """Handles one message. Raises only when the server cannot be told."""
        if delivery.attempt > 1:
            self._redelivered.inc()
        event = await self._decoded(delivery)
        if event is None:
            return
        headers = delivery.message.headers or {}
        context.enter_request(headers.get(context.REQUEST_ID_KEY))
        context.enter_trace(headers.get(context.TRACEPARENT_KEY))
        with self._span(headers):
            async with self._turn(delivery):
                failure = await self._tried(event)
                if not isinstance(failure, AWAY):
                    # Within its turn: the next one may be the end of the process.
                    await self._conclude(delivery, failure)
                    return
            failure = await self._outages.sit_out(lambda: self._tried(event), failure)
            await self._conclude(delivery, failure)

    async def settle_many(self, deliveries: list[Delivery]) -> None:
        """Handles a batch; one by one when it fails as a whole, and so what may
        have killed a worker."""
        together = [d for d in deliveries if d.attempt == 1]
        decoded = [(d, await self._decoded(d)) for d in together]
        readable = [(d, event) for d, event in decoded if event is not None]
        if readable and await self._handled_together([event for _, event in readable]):
            for delivery, _ in readable:
                await self._acknowledge(delivery)
            readable = []
        again = [d for d in deliveries if d.attempt > 1]
        again.sort(key=lambda d: order(d.attempt, d.sequence))
        for delivery in [d for d, _ in readable] + again:
            await self.settle(delivery)

    async def _handled_together(self, events: list[Any]) -> bool:
        try:
            await self._timed(self._many, events)
        except Exception as error:  # noqa: BLE001 - each event is judged by itself
            if len(events) > 1:
                log.info("batch_split", durable=self._durable, error=repr(error))
            return False
        self._outages.note(None)
        return True

    async def _decoded(self, delivery: Delivery) -> Any:
        try:
            return self._decode(delivery.message)
        except DecodeError as error:
            await self._give_up(delivery, error)
            return None

    async def _conclude(self, delivery: Delivery, failure: Exception | None) -> None:
        match failure:
            case None:
                await self._acknowledge(delivery)
            case Poison():
                await self._give_up(delivery, failure)
            case Retry():
                await self._put_off(delivery, failure, after=failure.after)
            case _ if isinstance(failure, AWAY) and self._outages.is_draining:
                await self._put_off(delivery, failure, after=1)
            case _:
                await self._put_off(delivery, failure)

    def _turn(self, delivery: Delivery) -> AbstractAsyncContextManager[None]:
        if self._one is None:
            # Of a batch they come one after the other anyway.
            return nullcontext()
        return self._suspects.turn(attempt=delivery.attempt, sequence=delivery.sequence)

    async def _tried(self, event: Any) -> Exception | None:
        """What the handler raised."""
        failure: Exception | None = None
        try:
            if self._one is not None:
                await self._timed(self._one, event)
            else:
                await self._timed(self._many, [event])
        except Exception as error:
            failure = error
            if not isinstance(error, (*AWAY, Poison, Retry)):
                log.exception("event_failed", durable=self._durable)
        self._outages.note(failure)
        return failure

    async def _timed(self, handle: Any, argument: Any) -> None:
        began = self._clock.monotonic()
        try:
            await handle(argument)
        finally:
            self._duration.observe(self._clock.monotonic() - began)

    async def _acknowledge(self, delivery: Delivery) -> None:
        await delivery.message.ack_sync(timeout=_ACK_SECONDS)
        self._handled.labels(self._durable, "ack").inc()

    async def _put_off(
        self, delivery: Delivery, error: Exception, *, after: float | None = None
    ) -> None:
        if delivery.attempt >= self._settings.max_deliver:
            await self._give_up(delivery, error)
            return
        delay = after
        if delay is None:
            delay = spaced(self._settings.ladder, delivery.attempt)
        # Never a bare negative ack: it redelivers at once.
        await delivery.message.nak(delay=max(delay, 0.001))
        self._handled.labels(self._durable, "retry").inc()

    async def _give_up(self, delivery: Delivery, error: Exception) -> None:
        """Among the dead letters first, terminated then: never in neither place."""
        held = 0
        while True:
            try:
                await self._undertaker.bury(
                    delivery.message, durable=self._durable, error=error
                )
            except AWAY as away:
                if self._outages.is_draining:
                    await delivery.message.nak(delay=1)
                    return
                await self._outages.hold(held, away)
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
