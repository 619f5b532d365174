"""Readers on live streams and writers on open connections, through the gateway."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from bench.http import Connection, bearer, connection
from bench.mesh import Mesh
from bench.world import World, until

# Connections that posts are written on.
WRITERS = 64
# Time for everybody to listen.
PATIENCE = 15.0

_POST = re.compile(rb'"postId":"(\d+)"')


class Sockets:
    """What online readers are told, and when: (post, reader) -> perf_counter."""

    def __init__(self) -> None:
        self.told: dict[tuple[int, int], float] = {}
        self.listening: set[int] = set()

    def count(self, post: int) -> int:
        return sum(1 for one, _ in self.told if one == post)

    async def listen(self, mesh: Mesh, reader: int) -> None:
        """Listens as a reader until cancelled."""
        async with connection(mesh.http_port) as opened:
            lines = opened.listen("/v1/stream", bearer(mesh.token(reader)))
            async for line in lines:
                self.listening.add(reader)
                if line.startswith(b"data:") and b'"postAdded"' in line:
                    now = time.perf_counter()
                    for post in _POST.findall(line):
                        self.told.setdefault((int(post), reader), now)


async def write(
    mesh: Mesh,
    world: World,
    writers: asyncio.Queue[Connection],
    author: int,
    number: int,
) -> int:
    """The id of a new post."""
    body = orjson.dumps({"text": world.text(number)})
    opened = await writers.get()
    try:
        answer = await opened.post("/v1/posts", bearer(mesh.token(author)), body)
    finally:
        writers.put_nowait(opened)
    return int(orjson.loads(answer)["post"]["postId"])


@asynccontextmanager
async def online(mesh: Mesh, world: World) -> AsyncIterator[Sockets]:
    """200 readers on SSE streams."""
    sockets = Sockets()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for reader in world.online:
            tasks.append(group.create_task(sockets.listen(mesh, reader)))
            # One address may open 200 a second.
            await asyncio.sleep(1 / 100)

        async def everybody() -> bool:
            return len(sockets.listening) == len(world.online)

        await until(everybody, every=0.05, seconds=PATIENCE)
        yield sockets
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def writers(mesh: Mesh) -> AsyncIterator[asyncio.Queue[Connection]]:
    """Connections that are free to post on."""
    async with asyncio.TaskGroup() as group:
        queue: asyncio.Queue[Connection] = asyncio.Queue()
        end = asyncio.Event()

        async def hold() -> None:
            async with connection(mesh.http_port) as opened:
                queue.put_nowait(opened)
                await end.wait()

        for _ in range(WRITERS):
            group.create_task(hold())
        yield queue
        end.set()
