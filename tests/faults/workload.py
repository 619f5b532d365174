"""What people do all the time: a modest, steady mix of writes and reads.

Each person has a writer, who does one thing after the other and tries again what may
not have happened, and a reader, who goes on reading meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from chassis.tasks import beside

from tests.faults import reading
from tests.faults.people import Person
from tests.faults.world import STEADY, World, set_edge

LISTENERS = 3

# Seconds between two writes of one person, and between two reads, on average.
WRITE_PAUSE, READ_PAUSE = 1.6, 1.5


@asynccontextmanager
async def busy(world: World) -> AsyncIterator[None]:
    """Everybody is at it for the length of the block; what was begun is ended."""
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        for person in world.people[:LISTENERS]:
            await stack.enter_async_context(beside(reading.listen(person)))
        async with asyncio.TaskGroup() as group:
            for person in world.people:
                for act, pause in ((write, WRITE_PAUSE), (read, READ_PAUSE)):
                    group.create_task(_keep_doing(act, world, person, pause, stopping))
            try:
                yield
            finally:
                stopping.set()


Act = Callable[[World, Person], Awaitable[object]]


async def _keep_doing(
    act: Act, world: World, person: Person, pause: float, stopping: asyncio.Event
) -> None:
    while not stopping.is_set():
        await asyncio.sleep(person.dice.expovariate(1 / pause))
        await act(world, person)


async def write(world: World, person: Person) -> None:
    """One change of something."""
    acts: dict[Act, int] = {
        _post: 40,
        _react: 22,
        _comment: 6,
        _delete: 7,
        _follow: 14,
        _mute: 6,
        _block: 5,
    }
    (act,) = person.dice.choices(list(acts), list(acts.values()))
    await act(world, person)


async def _post(world: World, person: Person) -> None:
    if await world.post(person):
        await reading.read_feed(person, reading.LATEST, pages=1, size=20)


async def _delete(world: World, person: Person) -> None:
    if len(person.posts) < 3:
        return
    post = person.dice.choice(person.posts)
    person.posts.remove(post)
    await person.surely("delete", {"post": post}, "DELETE", f"/posts/{post}")
    await reading.read_post(person, post)


async def _react(world: World, person: Person) -> None:
    post, _ = person.dice.choice(world.recent)
    on = person.dice.random() < 0.7
    await person.surely(
        "like",
        {"post": post, "on": on},
        "PUT" if on else "DELETE",
        f"/posts/{post}/like",
        body={} if on else None,
    )


async def _comment(world: World, person: Person) -> None:
    post, _ = person.dice.choice(world.recent)
    await person.surely(
        "comment",
        {"post": post},
        "POST",
        f"/posts/{post}/comments",
        body={"text": "so it is"},
    )


def _fickle(world: World, person: Person) -> int:
    others = [p.user_id for p in world.people[STEADY:] if p is not person]
    return person.dice.choice(others)


async def _follow(world: World, person: Person) -> None:
    other = _fickle(world, person)
    await set_edge(person, "follow", other, other not in person.following)
    await reading.read_feed(person, reading.LATEST, pages=1, size=50)


async def _mute(world: World, person: Person) -> None:
    other = next(iter(person.muting), 0) or _fickle(world, person)
    await set_edge(person, "mute", other, other not in person.muting)
    await reading.read_feed(person, reading.LATEST, pages=1, size=50)


async def _block(world: World, person: Person) -> None:
    other = next(iter(person.blocking), 0) or _fickle(world, person)
    # The steady ones are blocked by nobody, and block nobody.
    if person in world.people[:STEADY]:
        return
    await set_edge(person, "block", other, other not in person.blocking)
    blocked = world.by_id(other)
    if blocked is not None:
        await reading.read_feed(blocked, reading.LATEST, pages=1, size=50)
        if person.posts:
            await reading.read_post(blocked, person.posts[-1])


async def read(world: World, person: Person) -> None:
    """One look at something."""
    choice = person.dice.random()
    if choice < 0.45:
        await reading.read_feed(person, reading.LATEST, pages=3, size=20)
    elif choice < 0.75:
        await reading.read_feed(person, reading.RANKED, pages=3, size=20)
    elif choice < 0.85:
        author = person.dice.choice(world.people).user_id
        await reading.read_user_posts(person, author, pages=1, size=20)
    else:
        post, _ = person.dice.choice(world.recent)
        await reading.read_post(person, post)
