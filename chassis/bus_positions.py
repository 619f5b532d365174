"""Where the durables of a process stand in the stream, looked at every minute.

A durable that says it is beyond the stream's end would wait for sequences that were
given already: it is made anew, and begins at the beginning, since nobody knows what
it missed. Its handlers do not mind what they have seen before.
"""

from typing import Protocol

import nats.js.errors
import structlog
from nats.js.api import ConsumerInfo, StreamInfo

from chassis.meters import BusMeters

log = structlog.get_logger(__name__)

# Events not handed out from which a durable is reported.
FAR_BEHIND = 50_000


class Puller(Protocol):
    """The subscription to a durable."""

    def lose(self) -> None:
        """Opens the durable again, which makes it when it is not there."""
        ...


class Server(Protocol):
    """What is asked of the server; the driver's JetStreamContext."""

    async def consumer_info(self, stream: str, consumer: str, /) -> ConsumerInfo: ...

    async def stream_info(self, name: str, /) -> StreamInfo: ...

    async def delete_consumer(self, stream: str, consumer: str, /) -> bool: ...


class Positions:
    """The durables that are consumed now."""

    def __init__(self, *, js: Server, meters: BusMeters) -> None:
        self._js = js
        self._meters = meters
        self._pullers: dict[Puller, tuple[str, str]] = {}

    def add(self, puller: Puller, stream: str, durable: str) -> None:
        """A durable is consumed from now on."""
        self._pullers[puller] = (stream, durable)

    def drop(self, puller: Puller) -> None:
        """It is no longer."""
        del self._pullers[puller]

    def lose(self) -> None:
        """All subscriptions were made on another connection."""
        for puller in self._pullers:
            puller.lose()

    async def check(self) -> None:
        """Looks at each durable; raises nats' errors."""
        for puller, (stream, durable) in list(self._pullers.items()):
            try:
                info = await self._js.consumer_info(stream, durable)
            except nats.js.errors.NotFoundError:
                self._remake(puller, durable, "vanished")
                continue
            # Asked for after the durable, or it could seem ahead by what came between.
            last = (await self._js.stream_info(stream)).state.last_seq
            self._show(durable, info)
            if _delivered(info) > last:
                await self._js.delete_consumer(stream, durable)
                self._remake(puller, durable, "beyond the stream's end")

    def _remake(self, puller: Puller, durable: str, why: str) -> None:
        log.error("durable_made_anew", durable=durable, why=why)
        self._meters.remade.labels(durable).inc()
        puller.lose()

    def _show(self, durable: str, info: ConsumerInfo) -> None:
        settled = info.ack_floor.stream_seq if info.ack_floor else 0
        behind = info.num_pending or 0
        self._meters.delivered.labels(durable).set(_delivered(info))
        self._meters.settled.labels(durable).set(settled)
        self._meters.pending.labels(durable).set(behind)
        if behind >= FAR_BEHIND:
            log.warning("durable_far_behind", durable=durable, events=behind)


def _delivered(info: ConsumerInfo) -> int:
    return info.delivered.stream_seq if info.delivered else 0
