"""Dead letters: events that nobody could handle, kept with what went wrong.

Each goes into the table of its room first, where it has a database, and into the
stream DLQ then: the stream alone may be lost, and a room without a database has
nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nats.aio.msg import Msg
from nats.js.api import RawStreamMsg

from chassis import context, event_types

SUBJECT = "Feedmesh-Subject"
SEQUENCE = "Feedmesh-Sequence"
STORED_AT = "Feedmesh-Stored-At"
DURABLE = "Feedmesh-Durable"
ATTEMPTS = "Feedmesh-Attempts"
ERROR = "Feedmesh-Error"
MESSAGE = "Feedmesh-Message"
DIED_AT = "Feedmesh-Died-At"
# There when the letter is in a table already.
KEPT = "Feedmesh-Kept"
MESSAGE_ID = "Nats-Msg-Id"

_MESSAGE_LENGTH = 500
_ID_LENGTH = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Tokens of the address of an acknowledgement: how many in the older form, and where
# the time of storage is in either, in nanoseconds.
_OLD_TOKENS, _OLD_TIME, _TIME = 9, 7, 9


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One of them, as operators see it."""

    number: int = 0
    """Its number where it is kept: id in the table, sequence in the stream."""

    durable: str
    """Which consumer gave it up."""

    subject: str
    """Where it was published."""

    sequence: int
    """Its sequence in the stream of events."""

    stored_at: datetime
    """When the stream took it. With the sequence it names the message for good: a
    stream that is made anew counts from 1 again."""

    payload: bytes
    attempts: int

    error: str
    """Class of the last error."""

    message: str
    """What the last error said."""

    trace: str
    request_id: str
    died_at: datetime
    replayed_at: datetime | None = None

    event_id: str
    """Empty when the bytes are of no known event, and so are the ids then."""

    author_ids: tuple[int, ...]
    """Whom the event names as authors."""

    reader_ids: tuple[int, ...]
    """Whom the event names as readers."""

    @property
    def address(self) -> str:
        """Its subject in the stream DLQ: the same letter has the same one."""
        stored = (self.stored_at - _EPOCH) // timedelta(microseconds=1)
        return f"dlq.{self.durable}.{self.sequence}.{stored}"

    def headers(self, *, is_kept: bool) -> dict[str, str]:
        """What it says about itself in the stream, beside its payload."""
        said = {
            MESSAGE_ID: self.address,
            SUBJECT: self.subject,
            SEQUENCE: str(self.sequence),
            STORED_AT: self.stored_at.isoformat(),
            DURABLE: self.durable,
            ATTEMPTS: str(self.attempts),
            ERROR: self.error,
            MESSAGE: self.message,
            DIED_AT: self.died_at.isoformat(),
            context.TRACEPARENT_KEY: self.trace,
            context.REQUEST_ID_KEY: self.request_id,
        }
        return said | ({KEPT: "yes"} if is_kept else {})


def letter(
    *,
    durable: str,
    subject: str,
    sequence: int,
    stored_at: datetime,
    payload: bytes,
    headers: Mapping[str, str],
    attempts: int,
    error: tuple[str, str],
    died_at: datetime,
) -> DeadLetter:
    """A dead letter of an event; `error` is its class and what it said."""
    event = event_types.decoded(subject, payload)
    return DeadLetter(
        durable=durable,
        subject=subject,
        sequence=sequence,
        stored_at=stored_at,
        payload=payload,
        attempts=attempts,
        error=error[0],
        message=_one_line(error[1], _MESSAGE_LENGTH),
        trace=headers.get(context.TRACEPARENT_KEY, ""),
        request_id=headers.get(context.REQUEST_ID_KEY, ""),
        died_at=died_at,
        event_id=_one_line(event_types.id_of(event), _ID_LENGTH),
        author_ids=tuple(event_types.authors_in(event)),
        reader_ids=tuple(event_types.readers_in(event)),
    )


def letter_of(
    message: Msg, *, durable: str, error: Exception, died_at: datetime
) -> DeadLetter:
    """The letter of a message that its consumer gives up."""
    return letter(
        durable=durable,
        subject=message.subject,
        sequence=message.metadata.sequence.stream,
        stored_at=stored_at(message),
        payload=message.data,
        headers=message.headers or {},
        attempts=message.metadata.num_delivered,
        error=(type(error).__name__, str(error)),
        died_at=died_at,
    )


def read(
    payload: bytes, headers: Mapping[str, str], *, filed_at: datetime
) -> DeadLetter:
    """A letter as it lies in the stream, since filed_at."""
    return letter(
        durable=headers.get(DURABLE, ""),
        subject=headers.get(SUBJECT, ""),
        sequence=int(headers.get(SEQUENCE, "0")),
        stored_at=_time(headers.get(STORED_AT)) or filed_at,
        payload=payload,
        headers=headers,
        attempts=int(headers.get(ATTEMPTS, "0")),
        error=(headers.get(ERROR, ""), headers.get(MESSAGE, "")),
        died_at=_time(headers.get(DIED_AT)) or filed_at,
    )


def read_raw(raw: RawStreamMsg) -> DeadLetter:
    """A letter that was fetched by its sequence."""
    assert raw.time is not None
    return read(raw.data or b"", raw.headers or {}, filed_at=raw.time)


def stored_at(message: Msg) -> datetime:
    """When the stream took a delivered message, cut to microseconds as the server's
    own answers are; the driver's metadata rounds through a float."""
    tokens = message.reply.split(".")
    place = _OLD_TIME if len(tokens) == _OLD_TOKENS else _TIME
    return _EPOCH + timedelta(microseconds=int(tokens[place]) // 1000)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _one_line(text: str, length: int) -> str:
    printable = "".join(c if c.isprintable() and c.isascii() else " " for c in text)
    return printable[:length]
