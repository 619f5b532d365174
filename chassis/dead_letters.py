"""Dead letters: events that nobody could handle, kept with what went wrong."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from chassis.bus_streams import DEAD
from chassis.errors import NotFound

SUBJECT = "Feedmesh-Subject"
SEQUENCE = "Feedmesh-Sequence"
DURABLE = "Feedmesh-Durable"
ATTEMPTS = "Feedmesh-Attempts"
ERROR = "Feedmesh-Error"
MESSAGE = "Feedmesh-Message"
TRACE = "traceparent"
REQUEST_ID = "x-request-id"
MESSAGE_ID = "Nats-Msg-Id"

_MESSAGE_LENGTH = 500


@dataclass(frozen=True)
class DeadLetter:
    """One of them, as operators see it."""

    number: int
    """Its sequence among the dead letters: what `meshctl dlq show` takes."""

    subject: str
    """Where it was published."""

    sequence: int
    """Its sequence in the stream of events."""

    durable: str
    """Which consumer gave it up."""

    attempts: int
    error: str
    """Class of the last error."""

    message: str
    """What the last error said."""

    trace: str
    died_at: datetime | None
    payload: bytes


def headers_of(message: Msg, *, durable: str, error: Exception) -> dict[str, str]:
    """What a dead letter says about itself."""
    metadata = message.metadata
    sequence = metadata.sequence.stream
    given = message.headers or {}
    return {
        MESSAGE_ID: f"dlq-{metadata.stream}-{durable}-{sequence}",
        SUBJECT: message.subject,
        SEQUENCE: str(sequence),
        DURABLE: durable,
        ATTEMPTS: str(metadata.num_delivered),
        ERROR: type(error).__name__,
        MESSAGE: _one_line(str(error)),
        TRACE: given.get(TRACE, ""),
        REQUEST_ID: given.get(REQUEST_ID, ""),
    }


async def newest(js: JetStreamContext, limit: int) -> AsyncIterator[DeadLetter]:
    """The dead letters, newest first."""
    state = (await js.stream_info(DEAD)).state
    for number in range(state.last_seq, max(state.first_seq - 1, 0), -1):
        if limit <= 0:
            return
        try:
            yield await get(js, number)
        except NotFound:
            continue
        limit -= 1


async def get(js: JetStreamContext, number: int) -> DeadLetter:
    """One dead letter. Raises NotFound."""
    try:
        raw = await js.get_msg(DEAD, number)
    except nats.js.errors.NotFoundError as error:
        raise NotFound("INTERNAL", f"there is no dead letter {number}") from error
    headers = raw.headers or {}
    return DeadLetter(
        number=number,
        subject=headers.get(SUBJECT, ""),
        sequence=int(headers.get(SEQUENCE, "0")),
        durable=headers.get(DURABLE, ""),
        attempts=int(headers.get(ATTEMPTS, "0")),
        error=headers.get(ERROR, ""),
        message=headers.get(MESSAGE, ""),
        trace=headers.get(TRACE, ""),
        died_at=raw.time,
        payload=raw.data or b"",
    )


def _one_line(text: str) -> str:
    printable = "".join(c if c.isprintable() and c.isascii() else " " for c in text)
    return printable[:_MESSAGE_LENGTH]
