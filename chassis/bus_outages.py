"""Events whose dependency is away are held, which costs them no delivery."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from chassis.bus_settings import NatsSettings
from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from chassis.meters import BusMeters
from chassis.rolling import Window

log = structlog.get_logger(__name__)

# What handlers raise when a dependency is away, frozen or overrun.
AWAY = (Unavailable, DeadlineExceeded, ResourceExhausted)

_WINDOW = 60.0


class Outages:
    """The tries of one consumer, and what they say of its dependencies.

    What is held is not settled, and what is in flight is bounded: so nothing more is
    fetched during an outage than fits. An event is put off only when it has been
    held for the patience while most tries of others succeeded: then it is its own
    fault.
    """

    def __init__(
        self, *, durable: str, clock: Clock, settings: NatsSettings, meters: BusMeters
    ) -> None:
        self._durable = durable
        self._clock = clock
        self._settings = settings
        self._handled = meters.handled
        self._held = meters.held.labels(durable)
        self._held_seconds = meters.held_seconds.labels(durable)
        self._tries = Window(_WINDOW)
        self._draining = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        return self._draining.is_set()

    def drain(self) -> None:
        """Nothing is held any more."""
        self._draining.set()

    def note(self, error: Exception | None) -> None:
        """Counts a try that ended."""
        self._tries.add(self._clock.monotonic(), isinstance(error, AWAY), False)

    async def sit_out(
        self, again: Callable[[], Awaitable[Exception | None]], failure: Exception
    ) -> Exception | None:
        """Tries again, spaced, until it does not fail for a dependency, is to blame
        itself, or the process drains; how it ended."""
        latest: Exception | None = failure
        since, held = self._clock.monotonic(), 0
        while isinstance(latest, AWAY) and not self._is_own_fault(since):
            await self.hold(held, latest)
            if self.is_draining:
                break
            held += 1
            latest = await again()
        return latest

    async def hold(self, held: int, error: Exception) -> None:
        """Waits before another try, the longer the oftener it was held before; not
        at all when draining."""
        first, longest = self._settings.hold
        # The exponent is bounded: an outage may last for days.
        delay = min(first * 2 ** min(held, 16), longest) * random.uniform(0.8, 1.2)
        if held == 0:
            log.warning("consumer_held", durable=self._durable, error=repr(error))
            self._handled.labels(self._durable, "held").inc()
        began = self._clock.monotonic()
        with self._held.track_inprogress():
            try:
                async with asyncio.timeout(delay):
                    await self._draining.wait()
            except TimeoutError:
                pass
        self._held_seconds.inc(self._clock.monotonic() - began)

    def _is_own_fault(self, since: float) -> bool:
        now = self._clock.monotonic()
        tries, away, _ = self._tries.totals(now)
        return now - since >= self._settings.patience and tries - away > away
