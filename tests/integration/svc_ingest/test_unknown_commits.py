"""Commits of which nobody knows whether they happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

from feedmesh.ingest.v1 import post_pb2

from chassis.errors import MeshError, Unavailable
from chassis.testing import FaultProxy, engines, eventually, fault_proxy, refuses

from tests.support.ingest import IngestRoom, ingest_room


@asynccontextmanager
async def behind_proxy() -> AsyncIterator[tuple[IngestRoom, FaultProxy]]:
    parts = urlsplit(engines().postgres)
    assert parts.hostname
    assert parts.port
    async with (
        fault_proxy(parts.hostname, parts.port) as proxy,
        ingest_room(postgres_port=proxy.port) as room,
    ):
        yield room, proxy


async def stored(room: IngestRoom) -> int:
    return int(await room.pool.fetchval("SELECT count(*) FROM post"))


async def has_stored(room: IngestRoom, number: int) -> bool:
    return await stored(room) == number


async def test_a_retry_resolves_a_commit_that_was_cut_off() -> None:
    """The caller is told that it failed; the same request id finds what is there."""
    async with behind_proxy() as (room, proxy):
        [ann] = room.people(1)
        proxy.cut_after(b"COMMIT", times=1)
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await room.create(ann, text="hi", request_id="r")
        assert proxy.cut == 1
        # The server had heard it: this post is there.
        await eventually(lambda: has_stored(room, 1))

        retried = await room.create(ann, text="hi", request_id="r")
        again = await room.create(ann, text="hi", request_id="r")
        assert retried.replayed
        assert again.post == retried.post
        assert await stored(room) == 1
        assert await room.published() == ["post_published"]


async def test_a_retry_repeats_what_was_cut_off_before_its_commit() -> None:
    """Nothing was stored: the same request id stores it, once."""
    async with behind_proxy() as (room, proxy):
        [ann] = room.people(1)
        proxy.cut_after(b"BEGIN", times=1)
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await room.create(ann, text="hi", request_id="r")
        assert await stored(room) == 0

        retried = await room.create(ann, text="hi", request_id="r")
        assert not retried.replayed
        assert await stored(room) == 1


async def test_all_posts_of_a_cut_off_commit_are_resolved() -> None:
    """Those that shared the commit shared its fate; each has its own request id."""
    async with behind_proxy() as (room, proxy):
        people = room.people(8)

        async def create(ann: int) -> post_pb2.CreatePostResponse:
            return await room.create(ann, text=f"of {ann}", request_id="r")

        proxy.cut_after(b"COMMIT", times=1)
        first = await asyncio.gather(*map(create, people), return_exceptions=True)
        assert proxy.cut == 1
        failed = [
            ann
            for ann, answer in zip(people, first, strict=True)
            if isinstance(answer, MeshError)
        ]
        assert failed
        retried = [await eventually(partial(create, ann)) for ann in people]

        assert [one.post.text for one in retried] == [f"of {ann}" for ann in people]
        assert any(retried[people.index(ann)].replayed for ann in failed)
        assert await stored(room) == len(people)
        assert len(await room.published()) == len(people)
