"""Reader logs in Valkey. The only module of svc_push that speaks to it."""

import asyncio
from array import array
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from importlib import resources

from chassis.clock import Clock
from chassis.valkey import Script, Valkey
from chassis.valkey_node import Argument, Reply

from .model import (
    Change,
    Held,
    Kind,
    Logged,
    LogLimits,
    OpenLog,
    Placed,
    Position,
    PostId,
    ProcessName,
    UserId,
    to_ms,
)

# There while anybody is online lately; its value is part of what makes a log good.
ANYBODY = "online:anybody"

# Readers in one script call: about two milliseconds of the engine's time.
BATCH = 500


def _script(name: str, *, head: str | None = "common") -> Script:
    folder = resources.files(__package__) / "lua"
    names = [name] if head is None else [head, name]
    return Script("".join((folder / f"{n}.lua").read_text("utf-8") for n in names))


APPEND = _script("append")
OPEN = _script("open")
VISIT = _script("visit")
TOUCH = _script("touch")
LEAVE = _script("leave")
READ = _script("read")
HOLDERS = _script("holders")
REMOVED = _script("removed")
RENEW_ANYBODY = _script("anybody", head=None)
FOLLOWS = _script("follows", head=None)


class ValkeyReaderLogs:
    """ReaderLogs on Valkey. Both keys of one viewer share a slot."""

    def __init__(
        self,
        *,
        valkey: Valkey,
        clock: Clock,
        limits: LogLimits,
        fresh_epoch: Callable[[], str],
    ) -> None:
        """fresh_epoch gives 1 to 16 of 0-9 and a-z, never the same twice."""
        self._valkey = valkey
        self._clock = clock
        self._limits = limits
        self._fresh_epoch = fresh_epoch

    async def anybody(self) -> bool:
        return await self._valkey.get(ANYBODY) is not None

    async def append(self, viewers: Sequence[UserId], change: Change) -> list[Placed]:
        token = await self._valkey.get(ANYBODY)
        if token is None:
            return []
        args = [
            *self._head(token),
            change.kind.value,
            change.post_id,
            change.author_id,
            change.version,
            change.occurred_ms,
            int(change.was_noticed),
            self._limits.changes,
            _ms(self._limits.retention),
        ]
        groups = self._batches(viewers)
        answers = await self._call_each(APPEND, groups, [args] * len(groups))
        placed: list[Placed] = []
        for group, answer in zip(groups, answers, strict=True):
            fields = [iter(answer)] * 4
            for index, epoch, sequence, holders in zip(*fields, strict=True):
                names = holders.decode().split()
                placed.append(
                    Placed(
                        viewer=group[index // 2],
                        position=Position(epoch.decode(), sequence),
                        holders=tuple(ProcessName(name) for name in names),
                    )
                )
        return placed

    async def open(
        self, viewer: UserId, *, process: ProcessName, streams: int, limit: int
    ) -> OpenLog | None:
        head = self._head(await self._renew_anybody())
        answer = await self._valkey.call(
            OPEN, _keys([viewer]), [*head, process, streams, limit]
        )
        return None if answer is None else _opened(answer)

    async def visit(self, viewer: UserId, *, checked_ms: int | None) -> OpenLog:
        head = self._head(await self._renew_anybody())
        args = [*head, _or_empty(checked_ms)]
        return _opened(await self._valkey.call(VISIT, _keys([viewer]), args))

    async def touch(
        self, held: Sequence[Held], *, process: ProcessName
    ) -> dict[UserId, Position]:
        head = self._head(await self._renew_anybody())
        by_viewer = {reader.viewer: reader for reader in held}
        groups = self._batches(list(by_viewer))
        args: list[list[Argument]] = []
        for group in groups:
            args.append([*head, process])
            for viewer in group:
                reader = by_viewer[viewer]
                args[-1] += [reader.streams, _or_empty(reader.checked_ms)]
        answers = await self._call_each(TOUCH, groups, args)
        positions: dict[UserId, Position] = {}
        for group, answer in zip(groups, answers, strict=True):
            fields = iter(answer)
            for viewer, epoch, sequence in zip(group, fields, fields, strict=True):
                positions[viewer] = Position(epoch.decode(), sequence)
        return positions

    async def leave(
        self, viewer: UserId, *, process: ProcessName, streams: int
    ) -> None:
        # Touches no log, so that the token does not matter.
        args = [*self._head(b""), process, streams]
        await self._valkey.call(LEAVE, _keys([viewer]), args)

    async def read(
        self, viewer: UserId, *, after: Position, limit: int
    ) -> list[Logged] | None:
        token = await self._valkey.get(ANYBODY)
        if token is None:
            return None
        args = [*self._head(token), after.epoch, after.sequence, limit]
        answer = await self._valkey.call(READ, _keys([viewer]), args)
        if answer is None:
            return None
        return [
            Logged(after.sequence + number, _change(entry))
            for number, entry in enumerate(answer, start=1)
        ]

    async def holders(self, viewer: UserId) -> list[ProcessName]:
        answer = await self._valkey.call(HOLDERS, _keys([viewer]), self._head(b""))
        return [ProcessName(name.decode()) for name in answer]

    async def removed(self, viewer: UserId) -> list[UserId]:
        token = await self._valkey.get(ANYBODY)
        if token is None:
            return []
        answer = await self._valkey.call(REMOVED, _keys([viewer]), self._head(token))
        return sorted(UserId(int(author)) for author in answer)

    async def note_followed(
        self, viewer: UserId, authors: Collection[UserId]
    ) -> set[UserId]:
        # As native numbers: the engine's processes are of one kind.
        noted = array("q", sorted(authors)).tobytes()
        ttl = 2 * _ms(self._limits.retention)
        before = await self._valkey.call(FOLLOWS, [_follows(viewer)], [noted, ttl])
        return set(map(UserId, array("q", before or b"")))

    async def erase(self, viewer: UserId) -> None:
        await self._valkey.delete(*_keys([viewer]), _follows(viewer))

    async def _renew_anybody(self) -> bytes:
        # Longer than any log that carries the token.
        ttl = 2 * _ms(self._limits.retention)
        token: bytes = await self._valkey.call(
            RENEW_ANYBODY, [ANYBODY], [self._fresh_epoch(), ttl]
        )
        return token

    def _batches(self, viewers: Sequence[UserId]) -> list[list[UserId]]:
        """Groups whose keys may go into one script call."""
        by_key = {f"log:{{{viewer}}}": viewer for viewer in viewers}
        batches = []
        for keys in self._valkey.slots(by_key):
            group = [by_key[key] for key in keys]
            batches += [group[n : n + BATCH] for n in range(0, len(group), BATCH)]
        return batches

    async def _call_each(
        self,
        script: Script,
        groups: Sequence[Sequence[UserId]],
        args: Sequence[Sequence[Argument]],
    ) -> list[Reply]:
        # No more at once than there are viewers; all leave in one write.
        calls = [
            self._valkey.call(script, _keys(group), arguments)
            for group, arguments in zip(groups, args, strict=True)
        ]
        return await asyncio.gather(*calls)

    def _head(self, token: bytes) -> list[Argument]:
        return [
            token,
            self._fresh_epoch(),
            to_ms(self._clock.now()),
            _ms(self._limits.retention),
            _ms(self._limits.presumed),
        ]


def _keys(viewers: Sequence[UserId]) -> list[str]:
    return [
        key
        for viewer in viewers
        for key in (f"log:{{{viewer}}}", f"online:{{{viewer}}}")
    ]


def _follows(viewer: UserId) -> str:
    return f"follows:{{{viewer}}}"


def _opened(answer: list[bytes | int]) -> OpenLog:
    epoch, sequence, floor, checked = answer
    return OpenLog(
        head=Position(bytes(epoch).decode(), int(sequence)),
        floor=int(floor),
        checked_ms=int(checked),
    )


def _change(entry: bytes) -> Change:
    kind, post, author, version, occurred, _ = entry.decode().split(":")
    return Change(
        kind=Kind(kind),
        post_id=PostId(int(post)),
        author_id=UserId(int(author)),
        version=int(version),
        occurred_ms=int(occurred),
    )


def _or_empty(checked_ms: int | None) -> int | str:
    return "" if checked_ms is None else checked_ms


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
