"""What the stream of events holds, asked for by its owner's reconciler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import nats.errors
import nats.js.errors
import orjson
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from chassis import dead_letters
from chassis.bus_streams import EVENTS
from chassis.errors import Unavailable

# What a call to the server raises when it does not answer.
LOST = (nats.errors.Error, TimeoutError, OSError)


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """The stream of events as it is now."""

    created: datetime
    """Its birth: another one has none of the events published before."""

    first: int
    """Sequence of its oldest event; beyond `last` when it has none."""

    last: int
    missing: tuple[int, ...] = ()
    """Sequences between the two that it lost: nobody may delete from it."""


def unavailable() -> Unavailable:
    return Unavailable(
        "DEPENDENCY_UNAVAILABLE", "the event bus does not answer", retry_after=1
    )


@asynccontextmanager
async def answered() -> AsyncIterator[None]:
    """Raises Unavailable for what the server does not answer."""
    try:
        yield
    except LOST as error:
        raise unavailable() from error


class EventStream:
    """Reads of the stream. All raise Unavailable."""

    def __init__(self, *, client: Client, js: JetStreamContext) -> None:
        self._client = client
        self._js = js

    async def state(self) -> StreamState:
        """As the server says."""
        async with answered():
            info = await self._js.stream_info(EVENTS)
            missing: list[int] = []
            if info.state.num_deleted:
                missing = await self._missing()
        assert info.created is not None
        return StreamState(
            created=info.created,
            first=info.state.first_seq,
            last=info.state.last_seq,
            missing=tuple(missing),
        )

    async def at(self, sequence: int) -> RawStreamMsg | None:
        """The event with this sequence; None when it is not there."""
        async with answered():
            try:
                return await self._js.get_msg(EVENTS, sequence)
            except nats.js.errors.NotFoundError:
                return None

    async def message_id(self, sequence: int) -> str | None:
        """The message id of the event with this sequence; None without one."""
        raw = await self.at(sequence)
        return ((raw and raw.headers) or {}).get(dead_letters.MESSAGE_ID)

    async def _missing(self) -> list[int]:
        # The driver's own call has no word for these details.
        answer = await self._client.request(
            f"$JS.API.STREAM.INFO.{EVENTS}",
            orjson.dumps({"deleted_details": True}),
            timeout=2,
        )
        found: list[int] = orjson.loads(answer.data)["state"].get("deleted") or []
        return found
