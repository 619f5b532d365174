"""What can befall the cache of a mesh: emptied, ended, brought back as it once was."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis.embedded import valkey
from chassis.embedded.engines import Ports
from chassis.testing import eventually

from meshctl.layout import Layout
from tests.support.mesh import Mesh

# What an engine or a service may take to come back.
BACK_SECONDS = 30
VALKEY = "valkey-server"

# What a key held, and for how many milliseconds more; 0 for ever.
Snapshot = dict[bytes, tuple[bytes, int]]


@asynccontextmanager
async def cache_of(mesh: Mesh) -> AsyncIterator[Redis]:
    """The Valkey of a mesh, which may be away."""
    url = valkey.url(
        Layout(mesh.data).engines / "valkey",
        port=Ports().shifted(mesh.offset).valkey,
    )
    async with Redis.from_url(url) as client:
        yield client


async def flush(mesh: Mesh) -> None:
    """Empties it, from one moment to the next."""
    async with cache_of(mesh) as client:

        async def flushed() -> None:
            try:
                await client.flushall()
            except RedisError as error:
                raise AssertionError("valkey does not answer") from error

        await eventually(flushed, timeout=BACK_SECONDS)


def kill(mesh: Mesh, name: str) -> None:
    """Ends every process of that name at once; they are started again by themselves."""
    for pid in mesh.pids(name):
        # It may have ended already, and not been started again yet.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def snapshot(mesh: Mesh) -> Snapshot:
    """All that it holds."""
    held: Snapshot = {}
    async with cache_of(mesh) as client:
        async for key in client.scan_iter(count=1000):
            value, lasting = await client.dump(key), await client.pttl(key)
            if value is not None:
                held[key] = value, max(lasting, 0)
    return held


async def restart_with(mesh: Mesh, held: Snapshot) -> None:
    """It dies, and comes back with what it held at an earlier time."""
    kill(mesh, VALKEY)
    await flush(mesh)
    async with cache_of(mesh) as client:
        for key, (value, lasting) in held.items():
            await client.restore(key, lasting, value, replace=True)
