"""The desk: sees to the dead letters that no consumer could keep itself.

An event that kills its worker at every delivery is buried by nobody: what is left of
it is the server's word that its deliveries are used up. And rooms without a database
put their letters into the stream alone. One room with a database runs the desk, for
all: it fetches the first from the stream of events, and files both in its table.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import orjson
import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg

from chassis import dead_letters
from chassis.dead_letters import DeadLetter

log = structlog.get_logger(__name__)

ERROR = "MaxDeliveries"
_SAID = (
    "the server gave it up: no worker settled any delivery; each may have died of it"
)
_GONE = f"{_SAID}; the stream no longer has it"


class Letters(Protocol):
    """What keeps letters: a table."""

    async def keep(self, letter: DeadLetter) -> None: ...


class Streams(Protocol):
    """The bus."""

    async def event_at(self, sequence: int) -> RawStreamMsg | None:
        """What the stream of events has there."""
        ...

    async def has_letter(self, address: str) -> bool:
        """Whether the stream of letters has it."""
        ...

    async def bury_letter(self, letter: DeadLetter) -> None:
        """Into the table, and into the stream."""
        ...


@dataclass(frozen=True)
class GivenUp:
    """The server's word: this many deliveries, and no more."""

    durable: str
    sequence: int
    deliveries: int
    at: datetime


class BuryGivenUp:
    """Buries events whose deliveries are used up.

    Safe to repeat, and beside a consumer that buried the event itself before it
    died: the letter has the same address.
    """

    event = GivenUp
    durable = "dead-letter-desk"

    def __init__(self, *, streams: Streams) -> None:
        self._streams = streams

    def decode(self, message: Msg) -> GivenUp:
        """The advisory in a message."""
        try:
            said = orjson.loads(message.data)
            return GivenUp(
                durable=said["consumer"],
                sequence=said["stream_seq"],
                deliveries=said["deliveries"],
                at=dead_letters.stored_at(message),
            )
        except (orjson.JSONDecodeError, KeyError) as error:
            raise DecodeError(f"not an advisory: {error!r}") from error

    async def handle(self, given_up: GivenUp) -> None:
        raw = await self._stored(given_up)
        if raw is None:
            log.error("given_up_event_gone", durable=given_up.durable)
        letter = dead_letters.letter(
            durable=given_up.durable,
            subject=(raw and raw.subject) or "",
            sequence=given_up.sequence,
            stored_at=(raw and raw.time) or given_up.at,
            payload=(raw and raw.data) or b"",
            headers=(raw and raw.headers) or {},
            attempts=given_up.deliveries,
            error=(ERROR, _SAID if raw else _GONE),
            died_at=given_up.at,
        )
        if not await self._streams.has_letter(letter.address):
            await self._streams.bury_letter(letter)
            log.error("event_dead", durable=given_up.durable, error=ERROR)

    async def _stored(self, given_up: GivenUp) -> RawStreamMsg | None:
        raw = await self._streams.event_at(given_up.sequence)
        # Stored after the server gave up: another event, of a stream made anew.
        is_another = raw is None or raw.time is None or raw.time > given_up.at
        return None if is_another else raw


@dataclass(frozen=True)
class Filed:
    """A letter in the stream, and whether some table has it already."""

    letter: DeadLetter
    is_kept: bool


class FileLetters:
    """Copies letters that are in the stream alone into the table."""

    event = Filed
    durable = "dead-letter-files"

    def __init__(self, *, letters: Letters) -> None:
        self._letters = letters

    def decode(self, message: Msg) -> Filed:
        """The letter in a message."""
        headers = message.headers or {}
        try:
            letter = dead_letters.read(
                message.data, headers, filed_at=dead_letters.stored_at(message)
            )
        except ValueError as error:
            raise DecodeError(f"not a dead letter: {error}") from error
        return Filed(letter, dead_letters.KEPT in headers)

    async def handle(self, filed: Filed) -> None:
        if not filed.is_kept:
            await self._letters.keep(filed.letter)
