"""`meshctl reconcile counters` on a running mesh: looks, repairs, and says so."""

import asyncio
import sys

import pytest

from chassis.testing import eventually

from tests.support.mesh import Mesh
from tests.support.people import sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

STATS = "SELECT like_count FROM post_stats WHERE post_id = $1"
PLANT_POST = "UPDATE post_stats SET like_count = 41 WHERE post_id = $1 RETURNING 1"
PLANT_PERSON = (
    "UPDATE graph_state SET follower_count = 43 WHERE user_id = $1 RETURNING 1"
)


async def reconcile(mesh: Mesh, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, what was found, and what else was said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "meshctl", "reconcile", "counters", *arguments),
        *("--data", str(mesh.data), "--port-offset", str(mesh.offset)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_wrong_counts_are_found_and_put_right(mesh: Mesh) -> None:
    """Status 1 while one stands, 0 once it is right; each repair is in the trail."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        await ann.follow(ben)
        post = await ben.post("count me")
        await ann.call("PUT", f"/posts/{post}/like")

        async def is_counted() -> None:
            assert await mesh.fetch("svc_ingest", STATS, int(post)) == [1]

        await eventually(is_counted)
        await mesh.fetch("svc_ingest", PLANT_POST, int(post))
        await mesh.fetch("svc_graph", PLANT_PERSON, int(ben.user_id))

        found = await reconcile(mesh)
        posts = await reconcile(mesh, "--posts", "--repair")
        people = await reconcile(mesh, "--people")
        repaired = await reconcile(mesh, "--repair")
        clean = await reconcile(mesh)
        user = (await ann.call("GET", f"/users/{ben.user_id}")).json()

    assert [found[0], posts[0], people[0], repaired[0], clean[0]] == [1, 0, 1, 0, 0]
    assert rows(found[1]) >= {("post", post, "like_count", "41", "1")}
    assert rows(found[1]) >= {("person", ben.user_id, "follower_count", "43", "1")}
    assert "see --repair" in found[2]
    assert {row[0] for row in rows(posts[1])} == {"post"}
    assert {row[0] for row in rows(people[1])} == {"person"}
    assert "were put right" in repaired[1]
    assert "every count is right" in clean[1]
    assert await mesh.fetch("svc_ingest", STATS, int(post)) == [1]
    assert user["stats"]["followerCount"] == "1"
    for room, target in (("svc_ingest", post), ("svc_graph", ben.user_id)):
        assert "service:meshctl" in await mesh.fetch(
            room,
            "SELECT who FROM audit WHERE what = 'counters.repair'"
            " AND $1 = ANY(string_to_array(target, ','))",
            target,
        )


def rows(table: str) -> set[tuple[str, ...]]:
    """Rows of drifts in what was printed."""
    found = [tuple(line.split()) for line in table.splitlines()]
    return {row for row in found if row and row[0] in ("post", "person")}
