"""What readers and writers get while a part of the mesh is gone."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.testing import eventually

from tests.support.mesh import Mesh, running_mesh
from tests.support.people import Person, sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

RANKED = "SERVED_AS_RANKED"
FALLBACK = "SERVED_AS_CHRONOLOGICAL_FALLBACK"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    """A mesh of this module's own: its parts are stopped and killed."""
    data: Path = tmp_path_factory.mktemp("failing")
    async with running_mesh(data, "--no-seed") as running:
        yield running


@asynccontextmanager
async def reader_and_author(mesh: Mesh) -> AsyncIterator[tuple[Person, Person]]:
    """Ann, who follows Ben and has three posts of his in her feed."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)
        posts = [await ben.post(f"number {number}") for number in range(3)]
        await ann.sees(posts[-1])
        yield ann, ben


async def served_as(reader: Person, label: str) -> None:
    async def labelled() -> None:
        assert (await reader.feed())["servedAs"] == label

    await eventually(labelled, timeout=30)


async def test_a_frozen_ranker_costs_its_budget_and_no_more(mesh: Mesh) -> None:
    """Newest first, labelled, within the deadline; ranked again afterwards."""
    async with reader_and_author(mesh) as (ann, _):
        latest = await ann.feed_ids(order="ORDER_LATEST")
        mesh.signal("svc_rank", signal.SIGSTOP)
        try:
            async with asyncio.timeout(1.5):
                page = await ann.feed()
            assert page["servedAs"] == FALLBACK
            assert [i["post"]["postId"] for i in page["items"]] == latest
        finally:
            mesh.signal("svc_rank", signal.SIGCONT)

        await served_as(ann, RANKED)


async def test_a_killed_ranker_comes_back(mesh: Mesh) -> None:
    """Feeds go on chronologically while it is away, and recover by themselves."""
    async with reader_and_author(mesh) as (ann, _):
        killed = mesh.pids("svc_rank")
        mesh.signal("svc_rank", signal.SIGKILL)

        page = await ann.feed()
        assert page["servedAs"] in {FALLBACK, RANKED}
        assert len(page["items"]) == 3

        await served_as(ann, RANKED)
        assert not set(killed) & set(mesh.pids("svc_rank"))


async def test_without_valkey_feeds_come_from_postgres(mesh: Mesh) -> None:
    """Slower, never wrong: posts that nobody could cache are there too."""
    async with reader_and_author(mesh) as (ann, ben):
        mesh.signal("valkey-server", signal.SIGSTOP)
        try:
            mine = await ann.post("while it is away")
            page = await ann.feed(order="ORDER_LATEST")
            assert page["servedFrom"] == "SERVED_FROM_INDEX"
            ids = [i["post"]["postId"] for i in page["items"]]
            assert ids[0] == mine
            assert len(ids) == 4
            post = await ben.post("also while it is away")
            await ann.sees(post)
        finally:
            mesh.signal("valkey-server", signal.SIGCONT)

        async def hot_again() -> None:
            page = await ann.feed(order="ORDER_LATEST")
            assert page["servedFrom"] == "SERVED_FROM_HOT"
            assert len(page["items"]) == 5

        await eventually(hot_again, timeout=30)


async def test_without_nats_posts_are_accepted_and_fanned_out_later(mesh: Mesh) -> None:
    """The outbox holds what the bus cannot take."""
    async with reader_and_author(mesh) as (ann, ben):
        mesh.signal("nats-server", signal.SIGSTOP)
        try:
            post = await ben.post("the bus is away")
            assert post not in await ann.feed_ids(order="ORDER_LATEST")
            assert post in await ben.feed_ids(order="ORDER_LATEST")
        finally:
            mesh.signal("nats-server", signal.SIGCONT)

        await ann.sees(post)


async def test_a_killed_ingest_loses_nothing_it_acknowledged(mesh: Mesh) -> None:
    """Every post that was answered with 201 is there after kill -9."""
    async with reader_and_author(mesh) as (ann, ben):
        posts = [await ben.post(f"kept {n}") for n in range(20)]
        mesh.signal("svc_ingest", signal.SIGKILL)
        await mesh.ready("svc_ingest")

        async def all_there() -> None:
            ids = await ann.feed_ids(order="ORDER_LATEST", pageSize=100)
            assert set(posts) <= set(ids)
            assert len(ids) == len(set(ids))

        await eventually(all_there, timeout=60)
