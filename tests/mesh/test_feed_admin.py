"""Explain, audit and rebuild: drift that was planted is found, told and mended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from tests.support.mesh import Mesh, run_meshctl, running_mesh
from tests.support.people import Json, Person, sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

# Posts count as missing at once, and nobody is looked after behind the tests' back.
ENV = {
    "FEEDMESH_FEED_SETTLE": "0",
    "FEEDMESH_FEED_REPAIRS": "0",
    "FEEDMESH_FEED_AUDIT_SAMPLE": "0",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def settled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    data: Path = tmp_path_factory.mktemp("feeds")
    async with running_mesh(data, "--no-seed", env=ENV) as running:
        yield running


@dataclass
class Feed:
    """Ann follows Ben, who posted; an operator looks at Ann's feed."""

    mesh: Mesh
    ann: Person
    posts: list[int]
    headers: dict[str, str]

    async def explain(self, post_id: int) -> Json:
        answer = await self.ann.client.get(
            f"/v1/admin/feeds/{self.ann.user_id}/posts/{post_id}:explain",
            headers=self.headers,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def order(self, what: str, **body: object) -> Json:
        answer = await self.ann.client.post(
            f"/v1/admin/feeds/{self.ann.user_id}:{what}",
            headers=self.headers,
            json=body,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def meshctl(self, command: str, *arguments: str) -> str:
        return await run_meshctl(
            "feed",
            command,
            self.ann.handle,
            *arguments,
            *where(self.mesh),
        )

    async def lose(self, *posts: int) -> None:
        """Takes entries out of the index behind everybody's back."""
        await self.change(
            "DELETE FROM feed_entry WHERE viewer_id = $1 AND post_id = ANY($2)",
            list(posts),
        )

    async def plant(self, post_id: int) -> None:
        """Puts an entry into the index that does not belong there."""
        await self.change(
            "INSERT INTO feed_entry (viewer_id, post_id, author_id) VALUES ($1, $2, 7)",
            post_id,
        )

    async def change(self, sql: str, argument: object) -> None:
        server = urlsplit(self.mesh.postgres_url)
        connection = await asyncpg.connect(
            urlunsplit(server._replace(path="/svc_feed"))
        )
        try:
            await connection.execute(sql, int(self.ann.user_id), argument)
        finally:
            await connection.close()


def where(mesh: Mesh) -> tuple[str, ...]:
    return "--data", str(mesh.data), "--port-offset", str(mesh.offset)


@pytest_asyncio.fixture(loop_scope="session")
async def feed(settled: Mesh) -> AsyncIterator[Feed]:
    token = await settled.token("meshctl", "--service")
    async with settled.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)
        posts = [int(await ben.post(f"post {number}")) for number in range(4)]
        await ann.sees(str(posts[-1]))
        yield Feed(settled, ann, posts, {"authorization": f"Bearer {token}"})


async def test_what_was_lost_is_explained_found_and_mended(feed: Feed) -> None:
    """By the routes; the reader finds it afterwards."""
    lost = feed.posts[1]
    assert (await feed.explain(lost))["placement"] == "PLACEMENT_STATE_PLACED"
    await feed.lose(lost)

    explained = await feed.explain(lost)
    found = await feed.order("audit")
    repaired = await feed.order("audit", repair=True)
    after = await feed.order("audit")

    assert explained["edge"] == "EDGE_STATE_PUSHED"
    assert explained["placement"] == "PLACEMENT_STATE_MISSING"
    assert "is missing" in explained["summary"]
    assert found["missingPostIds"] == [str(lost)]
    assert not found.get("isRepaired")
    assert repaired["isRepaired"]
    assert not after.get("missingPostIds")
    assert await feed.ann.feed_ids(order="ORDER_LATEST") == [
        str(post_id) for post_id in reversed(feed.posts)
    ]


async def test_what_does_not_belong_is_found_and_taken_out(feed: Feed) -> None:
    """An entry of a post that nobody wrote."""
    planted = feed.posts[0] + 1
    await feed.plant(planted)

    explained = await feed.explain(planted)
    found = await feed.order("audit", repair=True)
    after = await feed.order("audit")

    assert explained["hiddenBy"] == "HIDDEN_BY_DELETED"
    assert found["extraPostIds"] == [str(planted)]
    assert not after.get("extraPostIds")


async def test_the_commands_say_the_same(feed: Feed) -> None:
    """Drift ends an audit with status 1, until it is repaired or remade."""
    lost = feed.posts[2]
    await feed.lose(lost)
    explained = await feed.meshctl("explain", str(lost))
    audited = subprocess.run(  # noqa: ASYNC221 - its status is asked for
        [
            *(sys.executable, "-m", "meshctl", "feed", "audit", feed.ann.handle),
            *where(feed.mesh),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    rebuilt = await feed.meshctl("rebuild")
    after = await feed.meshctl("audit", "--repair")

    assert "placement  MISSING" in explained
    assert audited.returncode == 1
    assert f"missing {lost}" in audited.stdout
    assert "entries placed" in rebuilt
    assert "0 missing, 0 extra" in after


async def test_a_person_named_like_a_command_has_a_page(settled: Mesh) -> None:
    """With the command that shows it; everybody else without."""
    async with settled.client() as client:
        ann = await sign_up(client, "ann")
        await ann.post("hello")

    assert "hello" in await run_meshctl("feed", ann.handle, "--latest", *where(settled))
    assert "hello" in await run_meshctl(
        "feed", "show", ann.handle, "--latest", *where(settled)
    )
    assert "hello" in await run_meshctl("feed", "--latest", ann.handle, *where(settled))


async def test_it_leaves_a_trace(feed: Feed) -> None:
    """Who changed whose index; looking leaves none."""
    await feed.order("audit")
    await feed.order("rebuild")
    await feed.lose(feed.posts[0])
    await feed.order("audit", repair=True)

    rows = await feed.mesh.fetch(
        "svc_feed",
        "SELECT what || ' ' || outcome || ' ' || who FROM audit"
        " WHERE target = $1 ORDER BY id",
        feed.ann.user_id,
    )

    assert rows == [
        "feed.rebuild OK service:meshctl",
        "feed.repair OK service:meshctl",
    ]


async def test_people_are_refused(feed: Feed) -> None:
    """Feeds of others, and even their own."""
    feeds = f"/admin/feeds/{feed.ann.user_id}"
    await feed.ann.call("GET", f"{feeds}/posts/{feed.posts[0]}:explain", status=403)
    await feed.ann.call("POST", f"{feeds}:audit", json={}, status=403)
    await feed.ann.call("POST", f"{feeds}:rebuild", json={}, status=403)


async def test_a_post_that_never_was_is_not_found(feed: Feed) -> None:
    """Neither stored nor placed."""
    answer = await feed.ann.client.get(
        f"/v1/admin/feeds/{feed.ann.user_id}/posts/{feed.posts[0] + 5}:explain",
        headers=feed.headers,
    )

    assert answer.status_code == 404
