"""P5: how soon posts reach feeds, and sockets, through the gateway's HTTP and SSE.

One post by an author with 8,000 followers, a few times; then 50 posts a second by
people of the dense graph, on a fixed schedule. 200 readers are online all the time.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Sequence

import asyncpg

from bench import home_feed
from bench.http import Connection
from bench.live import Sockets, online, write, writers
from bench.load import drive_open, quantile
from bench.mesh import Mesh
from bench.results import Line, load_average
from bench.shared import Run
from bench.world import World, until

GOAL_FEEDS = 0.58
GOAL_TOLD = 0.6
GOAL_SOCKET = 0.1

RATE = 50.0
# Time for everybody to be told.
PATIENCE = 15.0
# Of 8,000 viewers, so many are looked at before all are.
PROBES = 200


async def delivery(run: Run) -> list[Line]:
    mesh, world = await run.mesh(), await run.world()
    if not run.quick:
        await _heat(mesh, world)
    async with online(mesh, world) as sockets, writers(mesh) as connections:
        load = load_average()
        loud = await _loud(run, mesh, world, sockets, connections)
        steady = await _steady(run, mesh, world, sockets, connections)
    return [_line(*one, load=load) for one in (*loud, steady)]


async def _loud(
    run: Run,
    mesh: Mesh,
    world: World,
    sockets: Sockets,
    connections: asyncio.Queue[Connection],
) -> list[tuple[str, float, float, Sequence[str]]]:
    """One post at a time by the author with 8,000 followers."""
    placed, told = [], []
    async with mesh.connect("svc_feed") as database:
        viewers = await _followers_of(mesh, world.loud)
        for number in range(run.rounds + 1):
            began = time.perf_counter()
            post = await write(mesh, world, connections, world.loud, number)

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
    connections: asyncio.Queue[Connection],
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
        identifier = await write(mesh, world, connections, author, number)
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
