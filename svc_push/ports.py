"""What the domain of svc_push needs from outside."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .model import (
    Change,
    Followee,
    Held,
    Hint,
    Logged,
    OpenLog,
    Placed,
    Position,
    PostId,
    PostRecord,
    ProcessName,
    Relations,
    SignalKind,
    Tie,
    UserId,
)


class ReaderLogs(Protocol):
    """A bounded log of changes for each reader who is or was online lately.

    A reader is online lately from opening their log until an hour after the last
    `open`, `touch` or `leave`; then log and mark are gone. A log that is gone, was
    made by another run of the engine, or may have missed a change begins anew, empty
    and under a new epoch: a sequence never comes twice in one epoch. Each method is
    atomic for each reader.
    """

    async def anybody(self) -> bool:
        """Whether anybody is online lately.

        Never False while somebody is, unless all logs are void from then on.
        """
        ...

    async def append(self, viewers: Sequence[UserId], change: Change) -> list[Placed]:
        """Appends a change to the logs of those viewers who are online lately.

        Answers them, in no particular order, with where the change stands and which
        processes hold them. What a log says already stays where it is and is
        answered again. Where the rules of the model leave the change out, the reader
        is left out of the answer.
        """
        ...

    async def open(
        self, viewer: UserId, *, process: ProcessName, streams: int, limit: int
    ) -> OpenLog | None:
        """Marks the viewer online and held by the process, with so many streams.

        None, and nothing changed, when all processes together would hold more
        streams of the viewer than the limit.
        """
        ...

    async def visit(self, viewer: UserId, *, checked_ms: int | None) -> OpenLog:
        """Marks the viewer online lately, held by nobody new, as polling does.

        checked_ms, when given, is noted as in `touch`.
        """
        ...

    async def touch(
        self, held: Sequence[Held], *, process: ProcessName
    ) -> dict[UserId, Position]:
        """Renews the marks of readers whom the process holds.

        Answers where each of their logs stands.
        """
        ...

    async def leave(
        self, viewer: UserId, *, process: ProcessName, streams: int
    ) -> None:
        """Says that the process holds only so many streams of the viewer now."""
        ...

    async def read(
        self, viewer: UserId, *, after: Position, limit: int
    ) -> list[Logged] | None:
        """Changes after a position, in order, without a gap.

        None when they cannot all be had: another epoch, or no longer kept.
        """
        ...

    async def holders(self, viewer: UserId) -> list[ProcessName]:
        """The processes that hold a viewer now."""
        ...

    async def removed(self, viewer: UserId) -> list[UserId]:
        """Authors who left, by the viewer's log, and are not back; ascending."""
        ...

    async def note_followed(
        self, viewer: UserId, authors: Collection[UserId]
    ) -> set[UserId]:
        """Notes whom a viewer follows, and answers what was noted before.

        Kept for a while longer than a log; nobody when nothing is known.
        """
        ...

    async def erase(self, viewer: UserId) -> None:
        """Forgets log, mark and notes of a viewer."""
        ...


class LiveHints(Protocol):
    """Short messages between push processes. Any of them may be lost."""

    async def send(
        self, process: ProcessName, change: Change, hints: Sequence[Hint]
    ) -> None:
        """Tells a process that logs of its readers grew by the change."""
        ...

    async def signal(
        self, process: ProcessName, viewer: UserId, kind: SignalKind
    ) -> None:
        """Tells a process something about a reader it holds."""
        ...

    async def announce(self, change: Change, visibility: int) -> None:
        """Tells all processes that listen to the author, who is a celebrity."""
        ...

    async def broadcast(self, change: Change) -> None:
        """Tells all processes: each knows best which of its readers it concerns."""
        ...

    def listen(
        self,
        process: ProcessName,
        *,
        on_hints: Callable[[Change, Sequence[Hint]], Awaitable[None]],
        on_signal: Callable[[UserId, SignalKind], Awaitable[None]],
        on_broadcast: Callable[[Change], Awaitable[None]],
    ) -> AbstractAsyncContextManager[None]:
        """Hears what is sent to the process or to all of them, while inside."""
        ...

    def listen_author(
        self, author: UserId, *, on_change: Callable[[Change, int], Awaitable[None]]
    ) -> AbstractAsyncContextManager[None]:
        """Hears what is announced of a celebrity, while inside."""
        ...


class Graph(Protocol):
    """Who follows whom; svc_graph knows."""

    async def is_celebrity(self, author: UserId) -> bool:
        """Whether the author's posts are announced instead of fanned out."""
        ...

    def followers(self, author: UserId) -> AsyncIterator[list[UserId]]:
        """All followers, in pages of up to 1,000."""
        ...

    async def ties(self, author: UserId, people: Sequence[UserId]) -> dict[UserId, Tie]:
        """How the author and each of up to 1,000 people stand to each other now."""
        ...

    def following(self, viewer: UserId) -> AsyncIterator[list[Followee]]:
        """Whom a viewer follows, in pages of up to 1,000."""
        ...

    async def relations(self, viewer: UserId, people: Sequence[UserId]) -> Relations:
        """How a viewer, or NOBODY, stands to each of up to 1,000 people now."""
        ...


class Posts(Protocol):
    """Which posts there are; svc_ingest knows."""

    async def recent(
        self, authors: Sequence[UserId], *, after: PostId, before: PostId, limit: int
    ) -> list[tuple[PostId, UserId]]:
        """The newest posts of up to 500 authors, up to limit of each.

        With ids above `after` and below `before` (0 for no bound), newest first,
        whoever may see them.
        """
        ...

    async def records(self, posts: Sequence[PostId]) -> list[PostRecord]:
        """What is known of up to 1,000 posts; those that are gone are left out."""
        ...
