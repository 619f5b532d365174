"""What a consumer of events is, and how it can end."""

from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

E = TypeVar("E", bound=Message)


class Retry(Exception):
    """Not now: deliver the event again, `after` so many seconds if given."""

    def __init__(self, after: float | None = None) -> None:
        super().__init__(f"retry after {after}")
        self.after = after


class Poison(Exception):
    """Never: the event goes to the dead letters, with the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Handler(Protocol[E]):
    """Handles one event at a time, several at once.

    Returns when the event has had its effect, which a second delivery must not
    change. May also have `max_in_flight: int`, how many at once (32).
    """

    @property
    def event(self) -> type[E]: ...

    @property
    def durable(self) -> str:
        """Name of the consumer for all time; workers that share it share the work."""
        ...

    async def handle(self, event: E, /) -> None: ...


class BatchHandler(Protocol[E]):
    """Handles what has come in together, one batch after the other.

    A batch that fails is handled again one by one, so that one bad event does
    not take the others with it. `max_in_flight` is the size of a batch (256).
    """

    @property
    def event(self) -> type[E]: ...

    @property
    def durable(self) -> str: ...

    async def handle_many(self, events: list[E], /) -> None: ...


# Consumers of different events stand in one list.
AnyHandler = Handler[Any] | BatchHandler[Any]
