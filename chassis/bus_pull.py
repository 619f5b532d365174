"""One pull subscription: asks for messages and hands them out as they come."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

EXPIRES = 30.0
HEARTBEAT = 5.0

_NANOSECONDS = 1_000_000_000
_HEARTBEAT, _NOT_FOUND, _TIMEOUT, _CONFLICT = "100", "404", "408", "409"


class PullLost(Exception):
    """The request will not be answered: the consumer or the server is gone."""


class Puller:
    """Requests batches; one request is open at a time. Opened by open_puller()."""

    def __init__(self, *, client: Client, stream: str, durable: str) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = client.new_inbox()
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._request = 0
        self._outstanding = 0
        self._lost = False

    async def take(self, want: int, *, linger: float = 0) -> list[Msg]:
        """The messages that are there, `want` at most; waits for the first.

        Empty when none came for a while or interrupt() was called. With a
        linger it waits that long for company after the first. Raises PullLost.
        """
        if self._outstanding <= 0:
            await self.ask(want)
        first = await self._next()
        if first is None:
            return []
        if linger:
            await asyncio.sleep(linger)
        taken = [first]
        while len(taken) < want and not self._queue.empty():
            message = self._read(self._queue.get_nowait())
            if message is not None:
                taken.append(message)
        return taken

    def interrupt(self) -> None:
        """Makes a take() that waits return."""
        self._queue.put_nowait(None)

    def lose(self) -> None:
        """Makes take() raise PullLost: the request was made on another connection."""
        self._lost = True
        self.interrupt()

    def left(self) -> list[Msg]:
        """Messages that came and were not taken."""
        found = []
        while not self._queue.empty():
            message = self._read(self._queue.get_nowait())
            if message is not None:
                found.append(message)
        return found

    async def receive(self, message: Msg) -> None:
        self._queue.put_nowait(message)

    @property
    def inbox(self) -> str:
        return f"{self._inbox}.*"

    async def ask(self, batch: int) -> None:
        """Requests so many more."""
        self._request += 1
        self._outstanding = batch
        request = {
            "batch": batch,
            "expires": int(EXPIRES * _NANOSECONDS),
            "idle_heartbeat": int(HEARTBEAT * _NANOSECONDS),
        }
        await self._client.publish(
            self._subject, orjson.dumps(request), reply=f"{self._inbox}.{self._request}"
        )

    async def _next(self) -> Msg | None:
        while True:
            try:
                async with asyncio.timeout(2 * HEARTBEAT):
                    message = await self._queue.get()
            except TimeoutError:
                raise PullLost("no heartbeat") from None
            if self._lost:
                raise PullLost("reconnected")
            taken = self._read(message)
            if taken is not None:
                return taken
            if message is None or self._outstanding <= 0:
                return None

    def _read(self, message: Msg | None) -> Msg | None:
        """The message, or None when it is a status, which is noted."""
        if message is None:
            return None
        status = (message.headers or {}).get("Status")
        if status is None:
            self._outstanding -= 1
            return message
        if status == _HEARTBEAT or message.subject != f"{self._inbox}.{self._request}":
            return None
        if status not in (_NOT_FOUND, _TIMEOUT):
            description = (message.headers or {}).get("Description", "")
            if status != _CONFLICT or "Deleted" in description:
                raise PullLost(f"{status} {description}")
        self._outstanding = 0
        return None


@asynccontextmanager
async def open_puller(
    client: Client, *, stream: str, durable: str
) -> AsyncIterator[Puller]:
    """Subscribes to the answers for the length of the block."""
    puller = Puller(client=client, stream=stream, durable=durable)
    subscription = await client.subscribe(puller.inbox, cb=puller.receive)
    try:
        yield puller
    finally:
        if not client.is_closed:
            await subscription.unsubscribe()
