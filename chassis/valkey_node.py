"""Round trips to Valkey: many commands in one write, their replies in order.

A connection on which anything went wrong, a cancellation included, is dropped: a
reply that is still to come must not be read as the answer to another call.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from redis.asyncio import Connection, ConnectionPool, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = Sequence[Argument]
# Bytes, integers, lists of them, or None, as the command says.
Reply: TypeAlias = Any

_RUN_ID = b"run_id:"
# So much of a run id tells one run from another.
TAG_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class ValkeySettings:
    """How to reach Valkey, and how long it may take."""

    url: str
    """redis://user:password@host:port/0; in a cluster, that of any node."""

    cluster: bool = False
    """True when the URL names a node of a cluster."""

    connect_timeout: float = 0.2
    """Seconds to open a connection."""

    socket_timeout: float = 0.08
    """Seconds for a round trip; after it Valkey counts as away."""

    max_connections: int = 64
    """Most connections of one process."""

    settle_seconds: float = 0
    """How much longer Valkey counts as away when it answers again: for readers, so
    that writers have put in order first what they could not write meanwhile."""


class Node(Protocol):
    """A server, or a cluster of them."""

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies, in order; a ResponseError stands where one was refused.

        Raises redis' ConnectionError, OSError or TimeoutError: then it is not
        known which commands were carried out.
        """
        ...

    async def close(self) -> None: ...


class Epochs:
    """Which run of each server answers, learned on every new connection."""

    def __init__(self) -> None:
        self._run_ids: dict[str, str] = {}
        self._tags: frozenset[bytes] = frozenset()

    def knows(self, tag: bytes) -> bool:
        """Whether the tag, the beginning of a run id, is of a server that answers."""
        return tag in self._tags

    @property
    def current(self) -> str:
        return ",".join(sorted(self._run_ids.values()))

    async def learn(self, connection: Connection) -> None:
        """Greets the server and asks which run it is."""
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        info: bytes = await connection.read_response()
        for line in info.splitlines():
            if line.startswith(_RUN_ID):
                address = f"{connection.host}:{connection.port}"
                self._run_ids[address] = line.removeprefix(_RUN_ID).decode()
        self._tags = frozenset(
            run_id[:TAG_BYTES].encode() for run_id in self._run_ids.values()
        )


class SingleNode:
    """One server."""

    def __init__(self, *, settings: ValkeySettings, epochs: Epochs) -> None:
        self._timeout = settings.socket_timeout
        self._connect_timeout = settings.connect_timeout
        self._pool: ConnectionPool = ConnectionPool.from_url(
            settings.url,
            max_connections=settings.max_connections,
            socket_connect_timeout=settings.connect_timeout,
            socket_timeout=None,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=epochs.learn,
        )
        self._permits = asyncio.Semaphore(settings.max_connections)

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        async with self._permits:
            try:
                return await self._exchange(commands)
            except LostConnection:
                # The server may have closed what was idle, or have come back.
                return await self._exchange(commands)

    async def close(self) -> None:
        await self._pool.disconnect()

    async def _exchange(self, commands: Sequence[Command]) -> list[Reply]:
        async with asyncio.timeout(self._connect_timeout):
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]  # redis says so
        try:
            async with asyncio.timeout(self._timeout):
                packed = connection.pack_commands(commands)
                await connection.send_packed_command(packed, check_health=False)
                return [await _reply(connection) for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)


class ClusterNodes:
    """A cluster: commands go to the nodes of their slots, side by side."""

    def __init__(self, *, settings: ValkeySettings, epochs: Epochs) -> None:
        self._timeout = settings.socket_timeout + settings.connect_timeout
        self._cluster = RedisCluster.from_url(
            settings.url,
            max_connections=settings.max_connections,
            socket_connect_timeout=settings.connect_timeout,
            socket_timeout=settings.socket_timeout,
            protocol=2,
            retry=Retry(NoBackoff(), 1),
            require_full_coverage=False,
        )
        # The constructor does not take it, but every node is made with these.
        self._cluster.connection_kwargs["redis_connect_func"] = epochs.learn

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        async with asyncio.timeout(self._timeout):
            pipeline = self._cluster.pipeline()
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[unused-awaitable]  # queued
            return await pipeline.execute(raise_on_error=False)

    async def close(self) -> None:
        await self._cluster.aclose()


async def _reply(connection: Connection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
