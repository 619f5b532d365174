"""Valkey: what can be rebuilt. One client for a single node and a cluster.

All commands that concurrent callers give within one turn of the event loop go out
in one write, their reads as one MGET. A server that does not answer costs one
timeout: from then on calls fail at once, until a ping comes back.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from redis.crc import key_slot
from redis.exceptions import NoScriptError, RedisError, ResponseError

from chassis.clock import SystemClock
from chassis.errors import Internal, MeshError, Unavailable
from chassis.meters import ValkeyMeters, valkey_meters
from chassis.valkey_node import (
    Argument,
    ClusterNodes,
    Command,
    Epochs,
    Node,
    Reply,
    SingleNode,
    ValkeySettings,
)

__all__ = ["Script", "Valkey", "ValkeySettings", "open_valkey"]

log = structlog.get_logger(__name__)

_PROBE = (0.05, 1.0)


class Script:
    """A Lua script, run whole or not at all; its keys share a hash tag."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Turn:
    """What was asked for within one turn of the event loop."""

    def __init__(self) -> None:
        self.keys: dict[str, int] = {}
        self.readers: list[tuple[list[int], asyncio.Future[list[bytes | None]]]] = []
        self.commands: list[tuple[Command, asyncio.Future[Reply]]] = []

    def fail(self, error: MeshError) -> None:
        waiting: list[asyncio.Future[Any]] = [future for _, future in self.readers]
        waiting += [future for _, future in self.commands]
        for future in waiting:
            if not future.done():
                future.set_exception(type(error)(error.reason, error.message))


class Valkey:
    """The client. Opened by open_valkey()."""

    def __init__(
        self,
        *,
        node: Node,
        epochs: Epochs,
        cluster: bool,
        settle_seconds: float,
        meters: ValkeyMeters,
    ) -> None:
        self._node = node
        self._settle_seconds = settle_seconds
        self._on_return: list[Callable[[], None]] = []
        self._epochs = epochs
        self._cluster = cluster
        self._meters = meters
        self._clock = SystemClock()
        self._turn: _Turn | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._away = False

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values, in the order of the keys; None where there is none."""
        if not keys:
            return []
        turn = self._current()
        index = turn.keys
        places = [index.setdefault(key, len(index)) for key in keys]
        future: asyncio.Future[list[bytes | None]]
        future = asyncio.get_running_loop().create_future()
        turn.readers.append((places, future))
        return await future

    async def get(self, key: str) -> bytes | None:
        """One value; None when there is none."""
        return (await self.read([key]))[0]

    async def set(
        self, key: str, value: str | bytes | int, *, ttl: timedelta | None = None
    ) -> None:
        """Writes a value, for as long as ttl says, else for good."""
        _check(value)
        expiry = () if ttl is None else ("PX", int(ttl.total_seconds() * 1000))
        await self._command(("SET", key, value, *expiry))

    async def delete(self, *keys: str) -> None:
        """Removes keys; those that are not there are no error."""
        for group in self.slots(keys):
            await self._command(("DEL", *group))

    async def call(
        self, script: Script, keys: Sequence[str], args: Sequence[Argument] = ()
    ) -> Reply:
        """Runs a script and answers what it returns. In a cluster all keys must
        share a slot. Raises redis' ResponseError for a fault of the script."""
        for argument in args:
            _check(argument)
        command = ("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            return await self._command(command)
        except NoScriptError:
            # The server was restarted, or never had it; EVAL loads it as well.
            return await self._command(("EVAL", script.text, len(keys), *keys, *args))

    def slots(self, keys: Iterable[str]) -> list[list[str]]:
        """The keys in groups that one script call may take: by slot in a cluster,
        all in one where there is one node."""
        if not self._cluster:
            group = list(keys)
            return [group] if group else []
        groups: dict[int, list[str]] = {}
        for key in keys:
            groups.setdefault(key_slot(key.encode()), []).append(key)
        return list(groups.values())

    def epoch(self) -> str:
        """Which run of the servers answers; "" before the first answer.

        When it changes, marks and logs may be lost: caches that trust them must
        be emptied.
        """
        return self._epochs.current

    def is_current(self, tag: bytes) -> bool:
        """Whether a tag that a script took from the server's run id is of a run that
        answers now: what a snapshot brought back is not."""
        return self._epochs.knows(tag)

    def on_return(self, callback: Callable[[], None]) -> None:
        """Has it called each time the server answers again after it was away."""
        self._on_return.append(callback)

    async def ping(self) -> None:
        """Raises Unavailable unless the server answers."""
        await self._command(("PING",))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._node.close()

    async def _command(self, command: Command) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._current().commands.append((command, future))
        return await future

    def _current(self) -> _Turn:
        if self._away:
            raise _unavailable()
        if self._turn is None:
            self._turn = _Turn()
            asyncio.get_running_loop().call_soon(self._send)
        return self._turn

    def _send(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._start(self._serve(turn))

    async def _serve(self, turn: _Turn) -> None:
        began = self._clock.monotonic()
        reads: list[Command] = []
        if turn.keys:
            if self._cluster:
                reads = [("GET", key) for key in turn.keys]
            else:
                reads = [("MGET", *turn.keys)]
        commands = [*reads, *(command for command, _ in turn.commands)]
        try:
            replies = await self._node.exchange(commands)
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(turn, error)
            outcome = "failed"
        except Exception:
            # A fault of ours; but nobody is left waiting.
            turn.fail(Internal("INTERNAL"))
            raise
        except asyncio.CancelledError:
            turn.fail(_unavailable())
            raise
        else:
            self._settle(turn, replies, len(reads))
            outcome = "ok"
        kind = "read" if reads else "command"
        duration = self._clock.monotonic() - began
        self._meters.calls.labels(kind, outcome).observe(duration)

    def _settle(self, turn: _Turn, replies: list[Reply], reads: int) -> None:
        values = replies[:reads] if self._cluster else (replies[0] if reads else [])
        refused = _first_error(values if self._cluster else replies[:reads])
        for places, reader in turn.readers:
            if reader.done():
                continue
            if refused is not None:
                reader.set_exception(refused)
            else:
                reader.set_result([values[place] for place in places])
        for (_, future), reply in zip(turn.commands, replies[reads:], strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(_as_raised(reply))
            else:
                future.set_result(reply)

    def _fail(self, turn: _Turn, error: Exception) -> None:
        turn.fail(_unavailable())
        if not self._away:
            log.warning("valkey_away", error=repr(error))
            self._away = True
            self._meters.breaker_open.set(1)
            self._start(self._probe())

    async def _probe(self) -> None:
        delay = _PROBE[0]
        while self._away:
            try:
                await self._node.exchange([("PING",)])
                if self._settle_seconds:
                    await asyncio.sleep(self._settle_seconds)
                    await self._node.exchange([("PING",)])
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(delay)
                delay = min(2 * delay, _PROBE[1])
            else:
                log.info("valkey_back")
                self._away = False
                self._meters.breaker_open.set(0)
                for callback in self._on_return:
                    callback()

    def _start(self, work: Any) -> None:
        # In a context of its own: it serves several calls, and the deadline or the
        # caller of one of them must not be taken for that of all.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def open_valkey(
    settings: ValkeySettings, *, metrics: CollectorRegistry | None = None
) -> AsyncIterator[Valkey]:
    """Connects on first use; a server that is not there is no reason not to start."""
    epochs = Epochs()
    kind = ClusterNodes if settings.cluster else SingleNode
    valkey = Valkey(
        node=kind(settings=settings, epochs=epochs),
        epochs=epochs,
        cluster=settings.cluster,
        settle_seconds=settings.settle_seconds,
        meters=valkey_meters(metrics),
    )
    try:
        yield valkey
    finally:
        await valkey.close()


def _check(argument: object) -> None:
    # Refused here, where it concerns one call, and not by the driver for all calls
    # of the turn.
    if isinstance(argument, bool) or not isinstance(
        argument, str | bytes | int | float
    ):
        raise TypeError(f"Valkey does not take {argument!r}")


def _first_error(replies: Iterable[Reply]) -> Exception | None:
    for reply in replies:
        if isinstance(reply, Exception):
            return _as_raised(reply)
    return None


def _as_raised(error: Exception) -> Exception:
    """A refused command is a fault of ours, but for a server that is not ready."""
    if isinstance(error, ResponseError) and not str(error).startswith(
        ("OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "LOADING", "BUSY")
    ):
        return error
    return _unavailable()


def _unavailable() -> Unavailable:
    return Unavailable(
        "DEPENDENCY_UNAVAILABLE", "the cache does not answer", retry_after=0.5
    )
