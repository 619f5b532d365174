"""The live streams this process holds, and what waits to be sent on each.

Nothing here waits for anything but the client: what comes in is offered, and what
does not follow on the last event is read from the log later. So a lost, repeated or
reordered message never makes a gap.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from chassis.errors import MeshError, PermissionDenied, Unavailable

from .model import Change, Hint, Logged, Position, UserId


class Connection:
    """One live stream: how far its client is, and what comes next.

    The queue follows on the position without a gap. `is_behind` says that the log
    holds more than position and queue together.
    """

    def __init__(self, *, viewer: UserId, capacity: int) -> None:
        self.viewer = viewer
        self._capacity = capacity
        self._position: Position | None = None
        self._queue: deque[Logged] = deque()
        # Newest sequence that the log is known to hold.
        self._known = 0
        # What was offered last before the stream began.
        self._early: Position | None = None
        self._is_lost = False
        self._beat_due = False
        self._ended: MeshError | None = None
        self._woken = asyncio.Event()

    @property
    def position(self) -> Position:
        """Position of the last event taken; set by `begin`."""
        if self._position is None:
            raise RuntimeError("the stream has not begun")
        return self._position

    @property
    def is_lost(self) -> bool:
        """Whether the log may no longer be the one the client knows."""
        return self._is_lost

    @property
    def is_behind(self) -> bool:
        """Whether the log holds more than what is queued."""
        return self._known > self._tail

    @property
    def is_ended(self) -> bool:
        """Whether the stream is over, or will be once its client is told."""
        return self._ended is not None

    @property
    def _tail(self) -> int:
        return self.position.sequence + len(self._queue)

    def begin(self, position: Position, *, known: int) -> None:
        """The client has all up to the position; the log stands at known.

        Also begins anew, after a reset.
        """
        self._position = position
        self._queue.clear()
        self._known = known
        if self._early is not None and self._early.epoch == position.epoch:
            self._known = max(known, self._early.sequence)
        self._early = None
        self._is_lost = False

    def offer(self, position: Position, change: Change) -> None:
        """A change that stands in the viewer's log at the position.

        A client that is too slow to take what follows is ended rather than robbed
        of an event.
        """
        if self._position is None:
            self._early = position
            return
        follows = position == Position(self._position.epoch, self._tail + 1)
        if not follows:
            self.stands(position)
        elif len(self._queue) == self._capacity:
            self.end(slow())
        else:
            self._queue.append(Logged(position.sequence, change))
            self._known = max(self._known, position.sequence)
            self._woken.set()

    def stands(self, head: Position) -> None:
        """The viewer's log stands at least there."""
        if self._position is None:
            self._early = head
        elif head.epoch != self._position.epoch:
            self._is_lost = True
            self._woken.set()
        elif head.sequence > self._known:
            self._known = head.sequence
            self._woken.set()

    def fill(self, logged: Sequence[Logged]) -> None:
        """What the log holds after the position, where the queue may have gone on."""
        for entry in logged:
            if entry.sequence == self._tail + 1:
                self._queue.append(entry)
        if not logged:
            self._known = self._tail
        self._known = max(self._known, self._tail)

    def lose(self) -> None:
        """What follows on the position cannot be had any more."""
        self._is_lost = True

    def beat(self) -> None:
        """Lets the client hear that the stream lives, after what is queued."""
        self._beat_due = True
        self._woken.set()

    def end(self, error: MeshError) -> None:
        """Ends the stream; the first reason stands."""
        if self._ended is None:
            self._ended = error
        self._woken.set()

    def check(self) -> None:
        """Raises what the stream was ended with."""
        if self._ended is not None:
            raise self._ended

    def take(self) -> Logged | None:
        """The next event, if one is queued; from then on the client has it."""
        if not self._queue:
            return None
        logged = self._queue.popleft()
        self._position = Position(self.position.epoch, logged.sequence)
        self._beat_due = False
        return logged

    def take_beat(self) -> bool:
        """Whether a heartbeat is due; from then on it is not."""
        due, self._beat_due = self._beat_due, False
        return due

    def settle(self) -> None:
        """From here on, `wait` ends only for what happens later."""
        self._woken.clear()

    async def wait(self) -> None:
        """Waits until something happened since `settle`."""
        await self._woken.wait()


class Connections:
    """All streams of this process, by viewer."""

    def __init__(self, *, capacity: int) -> None:
        """capacity: events that may wait for one client."""
        self._capacity = capacity
        self._by_viewer: defaultdict[UserId, set[Connection]] = defaultdict(set)
        self._drained: MeshError | None = None

    @contextmanager
    def register(self, viewer: UserId) -> Iterator[Connection]:
        """A new stream of the viewer, offered what comes in while inside.

        Raises Unavailable once the process drains.
        """
        if self._drained is not None:
            raise self._drained
        connection = Connection(viewer=viewer, capacity=self._capacity)
        self._by_viewer[viewer].add(connection)
        try:
            yield connection
        finally:
            self._discard(connection)

    def counts(self) -> Mapping[UserId, int]:
        """How many streams each viewer has here; nobody has none."""
        return {viewer: len(streams) for viewer, streams in self._by_viewer.items()}

    def count(self, viewer: UserId) -> int:
        """How many streams the viewer has here."""
        return len(self._by_viewer.get(viewer, ()))

    def offer(self, change: Change, hints: Sequence[Hint]) -> None:
        """Offers a change to the streams of those whose logs it is in."""
        for hint in hints:
            for connection in tuple(self._by_viewer.get(hint.viewer, ())):
                connection.offer(hint.position, change)
                if connection.is_ended:
                    self._discard(connection)

    def beat(self, heads: Mapping[UserId, Position]) -> None:
        """Tells each stream where its log stands, where known, and to say so."""
        for viewer, streams in self._by_viewer.items():
            head = heads.get(viewer)
            for connection in streams:
                if head is not None:
                    connection.stands(head)
                connection.beat()

    def end(self, viewer: UserId, error: MeshError) -> None:
        """Ends the viewer's streams."""
        for connection in tuple(self._by_viewer.get(viewer, ())):
            connection.end(error)
            self._discard(connection)

    def drain(self) -> None:
        """Ends all streams, and refuses new ones."""
        self._drained = Unavailable(
            "OVERLOADED", "the server drains; resume from the last position"
        )
        for viewer in tuple(self._by_viewer):
            self.end(viewer, self._drained)

    def _discard(self, connection: Connection) -> None:
        streams = self._by_viewer.get(connection.viewer)
        if streams is not None:
            streams.discard(connection)
            if not streams:
                del self._by_viewer[connection.viewer]


def closed() -> MeshError:
    """What somebody hears whose account is suspended or deleted."""
    return PermissionDenied("ACCOUNT_SUSPENDED", "the account is closed")


def slow() -> MeshError:
    """What a client hears that does not keep up."""
    return Unavailable(
        "OVERLOADED", "the events are read too slowly; resume from the last position"
    )
