"""The small world of a new mesh: some people, who follows whom, what they wrote.

Made through the same RPCs as everyone uses. Every call has a request id that
follows from what it does, so that a seed that was interrupted goes on where it was.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc, user_pb2, user_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from chassis.errors import AlreadyExists, MeshError

from meshctl.calling import acting_as, open_service
from meshctl.children import Say, StartFailed
from meshctl.plan import Plan

T = TypeVar("T")

PASSWORD = "feedmesh-demo"

HANDLES = (
    *("ann", "ben", "cleo", "dan", "eva", "finn", "gia", "hugo", "ida", "jon"),
    *("kim", "lea", "max", "nia", "oli", "pia", "quin", "ray", "sue", "tom"),
    *("uma", "vic", "wes", "zoe"),
)

FOLLOWED_BY_EACH = 8
POSTS_OF_EACH = 3

# Calls under way at the same time.
CONCURRENCY = 16

_OPENINGS = ("Just finished", "Thinking about", "Anyone else into", "A morning of")
_TOPICS = (
    *("sourdough", "trail running", "old maps", "jazz trios", "chess endgames"),
    *("wild swimming", "ham radio", "tomato plants", "film photography", "tea"),
)
_ENDINGS = ("!", ", and it was worth it.", ". More tomorrow.", ". Opinions?")


@dataclass(frozen=True)
class World:
    """What there will be: a pure function of nothing, so the same every time."""

    follows: Sequence[tuple[str, str]]
    """Who follows whom."""

    posts: Sequence[tuple[str, str]]
    """Author and text."""

    likes: Sequence[tuple[str, int]]
    """Who likes which of the posts."""


@dataclass(frozen=True)
class Services:
    """The stubs that the seed calls."""

    users: "user_pb2_grpc.UserServiceAsyncStub"
    graph: "graph_pb2_grpc.GraphServiceAsyncStub"
    posts: "post_pb2_grpc.PostServiceAsyncStub"


def world() -> World:
    """A few people everybody follows, and a few whom hardly anyone does."""
    dice = random.Random(2026)
    weights = [1 / (rank + 1) for rank in range(len(HANDLES))]
    follows: list[tuple[str, str]] = []
    for handle in HANDLES:
        chosen: set[str] = set()
        while len(chosen) < FOLLOWED_BY_EACH:
            chosen |= set(dice.choices(HANDLES, weights)) - {handle}
        follows += [(handle, other) for other in sorted(chosen)]
    authors = list(HANDLES) * POSTS_OF_EACH
    dice.shuffle(authors)
    posts = [
        (
            author,
            f"{dice.choice(_OPENINGS)} {dice.choice(_TOPICS)}{dice.choice(_ENDINGS)}",
        )
        for author in authors
    ]
    likes = [
        (fan, number)
        for number, (author, _) in enumerate(posts)
        for fan in dice.sample(HANDLES, dice.randrange(4))
        if fan != author
    ]
    return World(follows=follows, posts=posts, likes=likes)


async def once(plan: Plan, *, say: Say) -> None:
    """Loads the world into a mesh that does not have it yet."""
    if plan.layout.seeded.exists():
        return
    people = world()
    try:
        async with _services(plan) as services:
            await load(people, services)
    except (MeshError, ExceptionGroup) as error:
        raise StartFailed(
            f"the seed failed: {_first(error)}; --no-seed starts without it"
        ) from error
    plan.layout.seeded.touch()
    say(
        f"seeded: {len(HANDLES)} people, {len(people.follows)} follows,"
        f" {len(people.posts)} posts, {len(people.likes)} likes"
    )


async def load(people: World, services: Services) -> None:
    """Puts the world in, in an order in which everything finds what it needs."""
    limit = asyncio.Semaphore(CONCURRENCY)
    ids = await _sign_up(services, limit)

    # Before the first post, so that nobody's feed has to be filled afterwards.
    await services.graph.ImportFollows(
        graph_pb2.ImportFollowsRequest(
            follower_ids=[ids[who] for who, _ in people.follows],
            followee_ids=[ids[whom] for _, whom in people.follows],
            request_id="seed-follows",
        )
    )

    async def post(author: str, text: str, number: int) -> int:
        async with limit:
            with acting_as(ids[author]):
                answer = await services.posts.CreatePost(
                    post_pb2.CreatePostRequest(
                        text=text, request_id=f"seed-post-{number}"
                    )
                )
        return answer.post.post_id

    numbers = await _all(
        post(author, text, number) for number, (author, text) in enumerate(people.posts)
    )

    async def like(fan: str, number: int) -> None:
        async with limit:
            with acting_as(ids[fan]):
                await services.posts.LikePost(
                    post_pb2.LikePostRequest(
                        post_id=numbers[number], request_id=f"seed-like-{number}"
                    )
                )

    await _all(like(fan, number) for fan, number in people.likes)


def _first(error: Exception) -> Exception:
    """What went wrong, out of the group that it came in."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _sign_up(services: Services, limit: asyncio.Semaphore) -> Mapping[str, int]:
    """The ids of all people, by handle."""

    async def one(handle: str) -> tuple[str, int]:
        async with limit:
            try:
                made = await services.users.CreateUser(
                    user_pb2.CreateUserRequest(
                        handle=handle,
                        display_name=handle.title(),
                        password=PASSWORD,
                        request_id=f"seed-user-{handle}",
                    )
                )
            except AlreadyExists:
                found = await services.users.LookupUser(
                    user_pb2.LookupUserRequest(handle=handle)
                )
                return handle, found.user.user_id
            return handle, made.user.user_id

    return dict(await _all(one(handle) for handle in HANDLES))


async def _all(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them return; the first failure ends the rest."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]


@asynccontextmanager
async def _services(plan: Plan) -> AsyncIterator[Services]:
    async with (
        open_service("graph", plan.targets["graph"], plan.layout) as graph,
        open_service("ingest", plan.targets["ingest"], plan.layout) as ingest,
    ):
        yield Services(
            users=user_pb2_grpc.UserServiceStub(graph),
            graph=graph_pb2_grpc.GraphServiceStub(graph),
            posts=post_pb2_grpc.PostServiceStub(ingest),
        )
