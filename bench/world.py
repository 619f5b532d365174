"""The people and posts that the lines are measured with, brought in as anyone would.

A dense graph of 4,000 people with 44 follows each (the published one, or one generated
in its shape), a celebrity whom half of its readers follow, and an author with 8,000
followers. Posts are written through CreatePost and have reached all feeds.
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedmesh.ingest.v1 import post_pb2

from bench.load import drive
from bench.mesh import Mesh
from meshctl import datasets
from meshctl.connection import Connection, connect_as_service
from meshctl.import_follows import Edge, import_follows
from meshctl.patience import patiently

# Of generated graphs.
PEOPLE = 4_000
FOLLOWS = 44

CROWD = 9_800
LOUD_FOLLOWERS = 8_000
READERS = 1_000
ONLINE = 200
# So that a page of 20 is full, and the candidates are as many as the design counts on.
LEAST_FOLLOWS = 30
STAR_POSTS = 30

SETTLE_SECONDS = 300.0
WORDS = ["the", "a", "mesh", "feed", "post", "hears", "who", "when", "goes", "tells"]


@dataclass(frozen=True)
class World:
    """Ids of people by their part in it."""

    readers: Sequence[int]
    """Readers with well-filled feeds; every other one follows a celebrity."""

    online: Sequence[int]
    """Readers who follow the loud author."""

    loud: int
    """An author with 8,000 followers."""

    crowd: Sequence[int]
    """People nobody follows."""

    authors: Sequence[int]
    followers: Mapping[int, frozenset[int]]
    """Of the authors."""

    texts: Sequence[str]

    def text(self, number: int) -> str:
        return self.texts[number % len(self.texts)]


async def populate(mesh: Mesh, *, posts: int) -> World:
    """Brings everyone and everything in, and waits until feeds hold it."""
    dice = random.Random(20_120_704)
    graph = follows(dice)
    following: dict[str, list[str]] = {}
    for follower, followee in graph:
        following.setdefault(follower, []).append(followee)
    eager = [who for who in sorted(following) if len(following[who]) >= LEAST_FOLLOWS]
    readers = dice.sample(eager, READERS)
    crowd = [f"ex{number}" for number in range(CROWD)]
    online = readers[:ONLINE]
    star = [(who, "star") for who in [*crowd, *readers[::2]]]
    loud = [(who, "loud") for who in [*online, *crowd[: LOUD_FOLLOWERS - ONLINE]]]

    async with connect_as_service(mesh.place) as connection:
        _, ids = await import_follows([*graph, *star, *loud], graph=connection.graph)
        followers: dict[int, set[int]] = {}
        for follower, followee in graph:
            followers.setdefault(ids[followee], set()).add(ids[follower])
        world = World(
            readers=[ids[who] for who in readers],
            online=[ids[who] for who in online],
            loud=ids["loud"],
            crowd=[ids[who] for who in crowd],
            authors=sorted(followers),
            followers={who: frozenset(theirs) for who, theirs in followers.items()},
            texts=texts(dice),
        )
        await _write(connection, mesh, world, ids["star"], posts, dice)
    for database in ("svc_graph", "svc_ingest", "svc_feed"):
        async with mesh.connect(database) as opened:
            # What Postgres does by itself within minutes of such an import; not to be
            # counted for what is measured then.
            await opened.execute("VACUUM (ANALYZE)")
    return world


async def _write(
    connection: Connection,
    mesh: Mesh,
    world: World,
    star: int,
    posts: int,
    dice: random.Random,
) -> None:
    """Posts, some likes, and the wait for fan-out."""
    by = [*dice.choices(world.authors, k=posts), *[star] * STAR_POSTS]
    ids: list[int] = []

    async def post(number: int) -> None:
        request = post_pb2.CreatePostRequest(
            text=world.text(number), request_id=f"world-{number}"
        )
        who = Connection.acting_as(by[number])
        answer = await patiently(
            lambda: connection.posts.CreatePost(request, metadata=who)
        )
        ids.append(answer.post.post_id)

    async def like(number: int) -> None:
        await connection.posts.LikePost(
            post_pb2.LikePostRequest(post_id=dice.choice(ids)),
            metadata=Connection.acting_as(dice.choice(world.readers)),
        )

    await drive(post, calls=len(by), in_flight=32)
    entries = sum(1 + len(world.followers.get(author, ())) for author in by)
    async with mesh.connect("svc_feed") as database:

        async def placed() -> bool:
            count = await database.fetchval("SELECT count(*) FROM feed_entry")
            return int(count) == entries

        await until(placed, every=0.5, seconds=SETTLE_SECONDS)
    await drive(like, calls=posts // 4, in_flight=32)


async def until(
    check: Callable[[], Awaitable[bool]], *, every: float, seconds: float
) -> None:
    """Waits until check() answers True; TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while True:
            if await check():
                return
            await asyncio.sleep(every)


def follows(dice: random.Random) -> list[Edge]:
    """The dense graph."""
    path = data("facebook_follows.txt.gz")
    if path is not None:
        return list(datasets.follows(path, "fb"))
    people = [f"fb{number}" for number in range(PEOPLE)]
    return [
        (who, other)
        for who in people
        for other in dice.sample(people, FOLLOWS)
        if other != who
    ]


def large_graph(*, most: int) -> list[Edge]:
    """The sparse graph: few have very many followers, most have one or two."""
    path = data("higgs_activity.txt.gz")
    if path is None:
        return list(_generated(random.Random(7), most))
    edges = []
    for edge in datasets.follows_from_activity(path, "hg"):
        edges.append(edge)
        if len(edges) == most:
            break
    return edges


def _generated(dice: random.Random, most: int) -> Iterable[Edge]:
    edges: dict[Edge, None] = {}
    people = most * 2 // 3
    while len(edges) < most:
        follower = dice.randrange(people)
        followee = int(dice.paretovariate(0.6)) % people
        if follower != followee:
            edges[f"hg{follower}", f"hg{followee}"] = None
    return edges


def texts(dice: random.Random) -> list[str]:
    """What people write."""
    path = data("sms_texts.tsv.gz")
    if path is not None:
        return datasets.texts(path)
    return [" ".join(dice.choices(WORDS, k=12)) for _ in range(500)]


def data(name: str) -> Path | None:
    """A published data set, where it is at hand."""
    path = Path(os.environ.get("FEEDMESH_DATA", "../shared/data")) / name
    return path if path.exists() else None
