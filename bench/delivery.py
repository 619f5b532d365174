"""P5: how soon posts reach feeds, and sockets, through the gateway's HTTP and SSE.

One post by an author with 8,000 followers, a few times; then 50 posts a second by
people of the dense graph, on a fixed schedule. 200 readers are online all the time.
"""

import asyncio
import itertools
import random
import re
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import orjson

from bench import home_feed
from bench.http import Connection, bearer, connection
from bench.load import drive_open, quantile
from bench.mesh import Mesh
from bench.results import Line, load_average
from bench.shared import Run
from bench.world import World, until

GOAL_FEEDS = 0.58
GOAL_TOLD = 0.6
GOAL_SOCKET = 0.1

RATE = 50.0
# Connections that posts are written on.
WRITERS = 64
# Time for everybody to be told.
PATIENCE = 15.0
# Of 8,000 viewers, so many are looked at before all are.
PROBES = 200

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


async def delivery(run: Run) -> list[Line]:
    mesh, world = await run.mesh(), await run.world()
    if not run.quick:
        await _heat(mesh, world)
    async with _online(mesh, world) as sockets, _writers(mesh) as writers:
        load = load_average()
        loud = await _loud(run, mesh, world, sockets, writers)
        steady = await _steady(run, mesh, world, sockets, writers)
    return [_line(*one, load=load) for one in (*loud, steady)]


async def _loud(
    run: Run,
    mesh: Mesh,
    world: World,
    sockets: Sockets,
    writers: asyncio.Queue[Connection],
) -> list[tuple[str, float, float, Sequence[str]]]:
    """One post at a time by the author with 8,000 followers."""
    placed, told = [], []
    async with mesh.connect("svc_feed") as database:
        viewers = await _followers_of(mesh, world.loud)
        for number in range(run.rounds + 1):
            began = time.perf_counter()
            post = await _write(mesh, world, writers, world.loud, number)

            async with asyncio.TaskGroup() as group:
                done = group.create_task(_placed(database, viewers, post))
                group.create_task(_told(sockets, post, len(world.online)))
            if number:  # The first one warms up.
                placed.append(done.result() - began)
                last = max(at for (one, _), at in sockets.told.items() if one == post)
                told.append(last - began)
    feeds = ", ".join(f"{one * 1e3:.0f} ms" for one in placed)
    online = ", ".join(f"{one * 1e3:.0f} ms" for one in told)
    return [
        (
            (
                f"P5 in feeds: a post by an author with {len(viewers):,} followers,"
                " until all feeds hold it"
            ),
            statistics.median(placed),
            GOAL_FEEDS,
            [f"posts: {feeds}"],
        ),
        (
            f"P5 told: the same, until {len(world.online)} online readers were told",
            statistics.median(told),
            GOAL_TOLD,
            [f"posts: {online}"],
        ),
    ]


async def _steady(
    run: Run,
    mesh: Mesh,
    world: World,
    sockets: Sockets,
    writers: asyncio.Queue[Connection],
) -> tuple[str, float, float, Sequence[str]]:
    """50 posts a second by those whom online readers follow."""
    posts = int(RATE * run.extent(20, 4))
    online = set(world.online)
    heard = [author for author in world.authors if world.followers[author] & online]
    authors = random.Random(50).choices(heard, k=posts)
    due: dict[int, float] = {}
    wanted: set[tuple[int, int]] = set()
    began = time.perf_counter()

    async def post(number: int) -> None:
        author = authors[number]
        identifier = await _write(mesh, world, writers, author, number)
        due[identifier] = began + number / RATE
        wanted.update((identifier, who) for who in world.followers[author] & online)

    driven = await drive_open(post, calls=posts, rate=RATE)

    async def everybody() -> bool:
        return wanted <= sockets.told.keys()

    await until(everybody, every=0.1, seconds=PATIENCE)
    late = sorted(sockets.told[one] - due[one[0]] for one in wanted)
    return (
        "P5 socket: 50 posts/s, open loop, from the intended start to the socket, p95",
        quantile(late, 0.95),
        GOAL_SOCKET,
        [
            f"{len(late):,} deliveries of {posts:,} posts: {_quantiles(late)}",
            f"acknowledged: {_quantiles(driven.latencies)}",
        ],
    )


def _quantiles(ordered: list[float]) -> str:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "last": 1.0}
    return ", ".join(
        f"{name} {quantile(ordered, share) * 1e3:.0f} ms"
        for name, share in shares.items()
    )


def _line(
    what: str, seconds: float, goal: float, notes: Sequence[str], *, load: float
) -> Line:
    name, _, about = what.partition(": ")
    return Line(
        name=name,
        what=about,
        ours=f"{seconds * 1e3:.0f} ms",
        ceiling=f"{goal * 1e3:.0f} ms",
        ratio=goal / seconds,
        goal=1.0,
        load=load,
        notes=notes,
    )


async def _placed(
    database: asyncpg.Connection, viewers: Sequence[int], post: int
) -> float:
    """When all feeds held the post."""
    count = "SELECT count(*) FROM feed_entry WHERE post_id = $2 AND viewer_id = ANY($1)"
    probes = random.Random(post).sample(viewers, PROBES)
    at = 0.0
    for some in (probes, viewers):

        async def whole(some: Sequence[int] = some) -> bool:
            nonlocal at
            at = time.perf_counter()
            return int(await database.fetchval(count, some, post)) == len(some)

        await until(whole, every=0.01, seconds=PATIENCE)
    return at


async def _told(sockets: Sockets, post: int, readers: int) -> None:
    async def everybody() -> bool:
        return sockets.count(post) == readers

    await until(everybody, every=0.05, seconds=PATIENCE)


async def _write(
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


async def _followers_of(mesh: Mesh, author: int) -> list[int]:
    async with mesh.connect("svc_graph") as database:
        rows = await database.fetch(
            "SELECT follower_id FROM follow WHERE followee_id = $1", author
        )
    return [row[0] for row in rows]


async def _heat(mesh: Mesh, world: World) -> None:
    """Gives all followers of the loud author a hot feed."""
    viewers = await _followers_of(mesh, world.loud)
    await home_feed.read_all(mesh, viewers)


@asynccontextmanager
async def _online(mesh: Mesh, world: World) -> AsyncIterator[Sockets]:
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
async def _writers(mesh: Mesh) -> AsyncIterator[asyncio.Queue[Connection]]:
    """Connections that are free to post on."""
    async with asyncio.TaskGroup() as group:
        queue: asyncio.Queue[Connection] = asyncio.Queue()
        end = asyncio.Event()

        async def hold() -> None:
            async with connection(mesh.http_port) as opened:
                queue.put_nowait(opened)
                await end.wait()

        for _ in itertools.repeat(None, WRITERS):
            group.create_task(hold())
        yield queue
        end.set()
