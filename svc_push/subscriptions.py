"""Live streams and polling: a reader's log, from a position on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from chassis.clock import Clock
from chassis.errors import (
    MeshError,
    ResourceExhausted,
    Unavailable,
)

from .celebrities import Celebrities
from .connections import Connection, Connections, closed
from .following import Following
from .model import (
    Change,
    EventKind,
    Held,
    Hint,
    Live,
    OpenLog,
    Position,
    ProcessName,
    SignalKind,
    Synced,
    UserId,
    to_ms,
)
from .ports import LiveHints, ReaderLogs

log = structlog.get_logger()


@dataclass(frozen=True)
class StreamLimits:
    """Bounds of live streams."""

    streams: int
    """Streams of one reader, over all processes."""

    read: int
    """Changes read from a log at once."""

    heartbeat: timedelta
    """Between two heartbeats; also how fresh polling is about celebrities."""


class Subscriptions:
    """What svc_push tells its clients."""

    def __init__(
        self,
        *,
        logs: ReaderLogs,
        live: LiveHints,
        connections: Connections,
        celebrities: Celebrities,
        following: Following,
        clock: Clock,
        process: ProcessName,
        limits: StreamLimits,
    ) -> None:
        self._logs = logs
        self._live = live
        self._connections = connections
        self._celebrities = celebrities
        self._following = following
        self._clock = clock
        self._process = process
        self._limits = limits

    async def stream(
        self, viewer: UserId, since: Position | None
    ) -> AsyncGenerator[Live, None]:
        """The viewer's events after a position, or from now on, without an end.

        Begins with a heartbeat at where the log stands, without a position; with a
        reset, where not all since the position can be had. Raises ResourceExhausted
        when the viewer has too many streams, Unavailable when the process drains or
        the events are not taken fast enough.
        """
        async with self._held(viewer) as (connection, opened):
            head = opened.head
            if since is not None and not opened.reaches(since):
                connection.begin(head, known=head.sequence)
                yield self._reset(head)
            elif since is not None:
                connection.begin(since, known=head.sequence)
                connection.beat()
            else:
                connection.begin(head, known=head.sequence)
                yield self._heartbeat(head)
            async with aclosing(self._follow(connection)) as events:
                async for event in events:
                    yield event

    async def sync(self, viewer: UserId, since: Position | None, limit: int) -> Synced:
        """The viewer's events after a position, at most so many.

        Without a position, only where the log stands. Marks the viewer online
        lately, so that the log goes on.
        """
        opened = await self._visited(viewer)
        if since is None:
            await self._look(viewer)
            return Synced(events=(), position=opened.head, has_more=False)
        logged = None
        if opened.reaches(since):
            logged = await self._logs.read(viewer, after=since, limit=limit)
        if logged is None:
            opened = await self._logs.visit(viewer, checked_ms=None)
            reset = self._reset(opened.head)
            return Synced(events=(reset,), position=opened.head, has_more=False)
        last = logged[-1].sequence if logged else since.sequence
        told = await self._following.judged(viewer, logged)
        return Synced(
            events=tuple(Live.of(since.epoch, entry) for entry in told),
            position=Position(since.epoch, last),
            has_more=last < opened.head.sequence,
        )

    async def run(self) -> None:
        """Hears hints and beats, until cancelled."""
        async with self._live.listen(
            self._process,
            on_hints=self.hinted,
            on_signal=self.signalled,
            on_broadcast=self._celebrities.gone,
        ):
            while True:
                await asyncio.sleep(self._limits.heartbeat.total_seconds())
                await self.beat()

    async def drain(self) -> None:
        """Ends all streams and refuses new ones: clients go elsewhere at once."""
        self._connections.drain()

    async def beat(self) -> None:
        """Renews the marks of all readers, and makes good hints that were lost."""
        held = [
            Held(viewer, streams, self._celebrities.checked_ms(viewer))
            for viewer, streams in self._connections.counts().items()
        ]
        heads: dict[UserId, Position] = {}
        if held:
            try:
                heads = await self._logs.touch(held, process=self._process)
            except MeshError as error:
                # Streams stay; the next beat tells where the logs stand.
                log.warning("subscriptions.touch_failed", error=str(error))
        self._connections.beat(heads)

    @asynccontextmanager
    async def _held(self, viewer: UserId) -> AsyncIterator[tuple[Connection, OpenLog]]:
        """One stream more of the viewer, and where their log stands.

        Registered first and opened then: what comes in between is not missed.
        """
        try:
            with self._connections.register(viewer) as connection:
                opened = await self._logs.open(
                    viewer,
                    process=self._process,
                    streams=self._connections.count(viewer),
                    limit=self._limits.streams,
                )
                if opened is None:
                    raise ResourceExhausted(
                        "STREAM_LIMIT",
                        f"there are {self._limits.streams} live streams already",
                        metadata={"limit": str(self._limits.streams)},
                    )
                self._celebrities.join(viewer, opened)
                yield connection, opened
        finally:
            await self._left(viewer)

    async def _left(self, viewer: UserId) -> None:
        streams = self._connections.count(viewer)
        if not streams:
            self._celebrities.leave(viewer)
        # A mark that stays is taken for gone when it is not renewed.
        with suppress(MeshError):
            await self._logs.leave(viewer, process=self._process, streams=streams)

    async def _follow(self, connection: Connection) -> AsyncGenerator[Live, None]:
        """What comes after the connection's position, as it comes."""
        while True:
            connection.settle()
            connection.check()
            logged = connection.take()
            if logged is not None:
                yield Live.of(connection.position.epoch, logged)
            elif connection.is_lost or connection.is_behind:
                try:
                    reset = await self._caught_up(connection)
                except Unavailable:
                    # The client has all it was promised; the next beat tries again.
                    await connection.wait()
                else:
                    if reset is not None:
                        yield reset
            elif connection.take_beat():
                yield self._heartbeat(connection.position)
            else:
                await connection.wait()

    async def _caught_up(self, connection: Connection) -> Live | None:
        """Fills the queue from the log; a reset where that cannot be."""
        viewer, position = connection.viewer, connection.position
        if not connection.is_lost:
            logged = await self._logs.read(
                viewer, after=position, limit=self._limits.read
            )
            if logged is not None:
                connection.fill(await self._following.judged(viewer, logged))
                return None
        opened = await self._logs.visit(viewer, checked_ms=None)
        if opened.reaches(position):
            connection.begin(position, known=opened.head.sequence)
            return None
        connection.begin(opened.head, known=opened.head.sequence)
        return self._reset(opened.head)

    async def _look(self, viewer: UserId) -> None:
        """Notes whom a viewer who begins to poll follows, to notice who leaves."""
        try:
            await self._following.look(viewer)
        except MeshError as error:
            log.warning("subscriptions.look_failed", error=str(error))

    async def _visited(self, viewer: UserId) -> OpenLog:
        """The log of a polling viewer, with the celebrities' posts in it."""
        opened = await self._logs.visit(viewer, checked_ms=None)
        now = to_ms(self._clock.now())
        if now - opened.checked_ms < self._limits.heartbeat.total_seconds() * 1000:
            return opened
        try:
            await self._celebrities.make_good(viewer, opened)
        except MeshError as error:
            # Not noted as looked for: the next poll looks again.
            log.warning("subscriptions.make_good_failed", error=str(error))
            return opened
        return await self._logs.visit(viewer, checked_ms=now)

    async def hinted(self, change: Change, hints: Sequence[Hint]) -> None:
        """Logs of readers held here grew."""
        self._connections.offer(change, hints)

    async def signalled(self, viewer: UserId, kind: SignalKind) -> None:
        """Something happened to a reader held here."""
        if kind is SignalKind.FOLLOWS_CHANGED:
            self._celebrities.refresh(viewer)
        else:
            self._connections.end(viewer, closed())

    def _reset(self, head: Position) -> Live:
        return Live(position=head, occurred=self._clock.now(), kind=EventKind.RESET)

    def _heartbeat(self, position: Position) -> Live:
        return Live(
            position=position, occurred=self._clock.now(), kind=EventKind.HEARTBEAT
        )
