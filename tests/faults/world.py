"""Everybody who uses the mesh: how they came to be there, and how they are related."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from meshctl.connection import Place, connect_as_service
from meshctl.import_follows import import_follows
from tests.faults.history import History
from tests.faults.mesh import FaultMesh
from tests.faults.people import Person, sign_up

PEOPLE = 14
# Who is never unfollowed, blocked or muted: their posts have to be in every feed.
STEADY = 5
FOLLOWED = 7
# So that a fan-out takes several statements.
CROWD = 5_000
RECENT = 200


@dataclass
class World:
    """Everybody, and the posts that anybody may meet."""

    people: Sequence[Person]
    loud: Person
    """Followed by the crowd, and by all people."""

    probes: tuple[Person, Person]
    """An author and a reader of nobody else: what is usual for them is usual."""

    history: History
    recent: list[tuple[int, int]] = field(default_factory=list)
    """Post and author, newest last."""

    def by_id(self, user_id: int) -> Person | None:
        return next((p for p in self.everybody if p.user_id == user_id), None)

    @property
    def everybody(self) -> list[Person]:
        return [*self.people, self.loud, *self.probes]

    async def post(self, person: Person) -> int:
        """Posts; the id, or 0 when it did not work out."""
        done = await person.surely("post", {}, "POST", "/posts")
        if not done.is_ok:
            return 0
        post = int(done.answer["id"])
        person.posts.append(post)
        self.recent = [*self.recent[-RECENT:], (post, person.user_id)]
        return post


async def set_edge(person: Person, kind: str, other: int, on: bool) -> bool:
    """Follows, blocks or mutes somebody, or takes it back."""
    path = {"follow": "following", "block": "blocks", "mute": "mutes"}[kind]
    done = await person.surely(
        kind,
        {"other": other, "on": on},
        "PUT" if on else "DELETE",
        f"/users/me/{path}/{other}",
    )
    held = {
        "follow": person.following,
        "block": person.blocking,
        "mute": person.muting,
    }[kind]
    if done.is_ok:
        (held.add if on else held.discard)(other)
        if kind == "block" and on:
            person.following.discard(other)
    return done.is_ok


@asynccontextmanager
async def open_world(
    mesh: FaultMesh, history: History, dice: random.Random
) -> AsyncIterator[World]:
    """Signs everybody up and has them follow each other."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with httpx.AsyncClient(
        base_url=mesh.http, limits=limits, timeout=10
    ) as client:

        async def person(name: str) -> Person:
            return await sign_up(client, history, name, random.Random(dice.random()))

        names = [f"person{number}" for number in range(PEOPLE)]
        everybody = await asyncio.gather(
            *map(person, [*names, "loud", "probe_author", "probe_reader"])
        )
        *people, loud, author, reader = everybody
        world = World(
            people=people, loud=loud, probes=(author, reader), history=history
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(_gather_crowd(mesh))
            group.create_task(set_edge(reader, "follow", author.user_id, True))
            for one in people:
                others = [p for p in people[STEADY:] if p is not one]
                steady = [p for p in people[:STEADY] if p is not one]
                chosen = [*steady, *dice.sample(others, FOLLOWED), loud]
                group.create_task(_settle_in(world, one, chosen))
        yield world


async def _settle_in(world: World, person: Person, others: Sequence[Person]) -> None:
    for other in others:
        await set_edge(person, "follow", other.user_id, True)
    for _ in range(2):
        await world.post(person)


async def _gather_crowd(mesh: FaultMesh) -> None:
    """Thousands who follow the loud author and do nothing else."""
    edges = [(f"crowd{number}", "loud") for number in range(CROWD)]
    place = Place(mesh.plan.layout, mesh.plan.offset)
    async with connect_as_service(place) as connection:
        await import_follows(edges, graph=connection.graph)


async def burst(world: World, dice: random.Random, count: int) -> None:
    """Several people post at the same moment; returns when all know what came of
    it."""
    async with asyncio.TaskGroup() as group:
        for person in dice.sample(list(world.people), count):
            group.create_task(world.post(person))


async def revoke(world: World, dice: random.Random, count: int) -> list[Person]:
    """Several people unfollow somebody and delete a post; answers who."""
    chosen = dice.sample(list(world.people), count)
    async with asyncio.TaskGroup() as group:
        for person in chosen:
            group.create_task(_revoke(world, person))
    return chosen


async def _revoke(world: World, person: Person) -> None:
    fickle = {p.user_id for p in world.people[STEADY:]} & person.following
    if fickle:
        await set_edge(person, "follow", person.dice.choice(sorted(fickle)), False)
    if person.posts:
        post = person.posts.pop()
        await person.surely("delete", {"post": post}, "DELETE", f"/posts/{post}")
