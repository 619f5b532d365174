"""DeleteUser erases the person everywhere, through events."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import redis.asyncio

from chassis.embedded import valkey
from chassis.embedded.engines import Ports
from chassis.testing import eventually

from meshctl.layout import Layout
from tests.support.footprint import rows_of
from tests.support.mesh import Mesh
from tests.support.people import PASSWORD, Person, sign_up
from tests.support.refusals import refusal

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOMS = ("svc_graph", "svc_ingest", "svc_feed")

# Every column of whole numbers, in partitions of the parent's name.
COLUMNS = """
SELECT format('%I.%I', c.table_name, c.column_name)
FROM information_schema.columns c
JOIN pg_class t ON t.relname = c.table_name AND t.relnamespace = 'public'::regnamespace
WHERE c.table_schema = 'public' AND c.data_type = 'bigint'
    AND NOT t.relispartition AND t.relkind IN ('r', 'p')
ORDER BY 1
"""

# What may name a person afterwards: the tombstones that keep ids from coming back, and
# the answers to repeats, which time out.
TOMBSTONES = {
    "svc_graph": {"graph_state.user_id", "request_record.caller_id"},
    "svc_ingest": {
        "deleted_post.author_id",
        "deleted_post.post_id",
        "request_record.caller_id",
    },
    "svc_feed": set[str](),
}


@dataclass(frozen=True)
class Life:
    """Ann, and everyone and everything that has to do with her."""

    ann: Person
    fan: Person
    idol: Person
    other: Person
    posts: list[str]
    refresh: str


@asynccontextmanager
async def lived(mesh: Mesh) -> AsyncIterator[Life]:
    """Ann posts, likes, comments, shares, follows, blocks; others answer in kind."""
    async with mesh.client() as client:
        ann, fan, idol, other = [
            await sign_up(client, name) for name in ("ann", "fan", "idol", "other")
        ]
        login = {"handle": ann.handle, "password": PASSWORD}
        session = (await client.post("/v1/sessions", json=login)).json()["session"]
        await fan.follow(ann)
        await ann.follow(idol)
        blocked, muted = await sign_up(client, "foe"), await sign_up(client, "bore")
        await ann.call("PUT", f"/users/me/blocks/{blocked.user_id}")
        await ann.call("PUT", f"/users/me/mutes/{muted.user_id}")
        await muted.call("PUT", f"/users/me/mutes/{ann.user_id}")
        await other.call("PATCH", "/users/me", json={"isPrivate": True})
        await ann.follow(other)
        theirs = await idol.post("by an idol")
        posts = [await ann.post(f"number {n}") for n in range(3)]
        await ann.call("PUT", f"/posts/{theirs}/like")
        await ann.call("PUT", f"/posts/{theirs}/share", json={})
        await ann.call("POST", f"/posts/{theirs}/comments", json={"text": "by ann"})
        await ann.call("DELETE", f"/posts/{posts.pop()}")
        await fan.call("PUT", f"/posts/{posts[0]}/like")
        await fan.call("POST", f"/posts/{posts[0]}/comments", json={"text": "hm"})
        share = await fan.call("PUT", f"/posts/{posts[0]}/share", json={})
        await fan.sees(posts[-1])
        await ann.sees(theirs)
        posts.append(share.json()["post"]["postId"])
        yield Life(ann, fan, idol, other, posts, session["refreshToken"])


async def naming(mesh: Mesh, room: str, ids: Sequence[str]) -> set[str]:
    """Columns of a room's database that hold one of these ids."""
    columns = [str(name) for name in await mesh.fetch(room, COLUMNS)]
    query = " UNION ALL ".join(
        f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name.partition('.')[0]} "  # noqa: S608 # names from the catalogue
        f"WHERE {name} = ANY($1::bigint[]))"
        for name in columns
    )
    found = await mesh.fetch(room, query, [int(one) for one in ids])
    return {str(name) for name in found}


async def keys_naming(mesh: Mesh, ids: Sequence[str]) -> dict[str, int]:
    """Keys in Valkey that are about one of these ids, and the seconds they stay."""
    url = valkey.url(
        Layout(mesh.data).engines / "valkey",
        port=Ports().shifted(mesh.offset).valkey,
    )
    async with redis.asyncio.from_url(url) as client:
        return {
            key.decode(): await client.ttl(key)
            for one in ids
            async for key in client.scan_iter(f"*{one}*")
        }


async def test_nothing_of_a_deleted_person_is_left(mesh: Mesh) -> None:
    """In no table of any room but tombstones; what others wrote stays."""
    async with lived(mesh) as life:
        ids = [life.ann.user_id, *life.posts]
        before = {room: await naming(mesh, room, ids) for room in ROOMS}
        assert {"post.author_id", "post_like.user_id"} <= before["svc_ingest"]
        assert {"feed_entry.viewer_id", "feed_entry.author_id"} <= before["svc_feed"]
        assert {"session.user_id", "block.blocker_id"} <= before["svc_graph"]

        await life.ann.call("DELETE", "/users/me")

        async def gone() -> None:
            left = {
                room: await naming(mesh, room, ids) - TOMBSTONES[room] for room in ROOMS
            }
            assert left == {room: set() for room in ROOMS}
            assert await rows_of(mesh, [life.ann.user_id]) == {}

        await eventually(gone, timeout=20)
        assert len((await life.idol.call("GET", "/feed")).json()["items"]) == 1


async def test_a_deleted_person_is_nobody_at_once(mesh: Mesh) -> None:
    """Tokens, profile, lists, feeds, counts: from the next read."""
    async with lived(mesh) as life:
        ann, client = life.ann, life.ann.client
        await ann.call("DELETE", "/users/me")

        for path in ("/v1/feed", "/v1/users/me", "/v1/sync"):
            answer = await client.get(path, headers=ann.headers)
            assert refusal(answer) == (401, "TOKEN_INVALID"), path
        post = await client.post("/v1/posts", json={"text": "a"}, headers=ann.headers)
        assert refusal(post) == (401, "TOKEN_INVALID")
        token = {"refreshToken": life.refresh}
        again = await client.post("/v1/sessions:refresh", json=token)
        assert refusal(again) == (401, "REFRESH_TOKEN_INVALID")
        login = {"handle": ann.handle, "password": PASSWORD}
        answer = await client.post("/v1/sessions", json=login)
        assert refusal(answer) == (401, "CREDENTIALS_INVALID")

        for path in (f"/users/{ann.user_id}", f"/users/{ann.user_id}/posts"):
            answer = await life.fan.call("GET", path, status=404)
            assert refusal(answer) == (404, "USER_NOT_FOUND")
        for order in ("ORDER_LATEST", "ORDER_RANKED"):
            assert not set(life.posts) & set(await life.fan.feed_ids(order=order))
        for who, what in (
            (life.idol, "followers"),
            (life.fan, "following"),
        ):
            path = f"/users/{who.user_id}/{what}"
            assert ann.user_id not in (await who.call("GET", path)).text
        requests = await life.other.call("GET", "/users/me/followRequests")
        assert ann.user_id not in requests.text
        (item,) = (await life.idol.call("GET", "/feed")).json()["items"]
        theirs = item["post"]["postId"]
        for what in ("likes", "comments"):
            listed = await life.idol.call("GET", f"/posts/{theirs}/{what}")
            assert ann.user_id not in listed.text

        async def uncounted() -> None:
            read = (await life.idol.call("GET", f"/posts/{theirs}")).json()
            assert {int(n) for n in read["stats"].values()} <= {0}

        await eventually(uncounted, timeout=20)


async def test_the_caches_forget_a_deleted_person(mesh: Mesh) -> None:
    """Feeds and logs go at once; marks and lists of dead ids go by themselves."""
    day = 24 * 3600
    async with lived(mesh) as life:
        async with life.ann.client.stream(
            "GET",
            "/v1/stream",
            headers={**life.ann.headers, "accept": "text/event-stream"},
        ) as stream:
            await anext(stream.aiter_bytes())
        await life.ann.feed_ids()
        before = await keys_naming(mesh, [life.ann.user_id])
        assert {"hot", "log", "own", "did"} <= {kind(key) for key in before}
        await life.ann.call("DELETE", "/users/me")

        async def forgotten() -> None:
            left = await keys_naming(mesh, [life.ann.user_id])
            lasting = {kind(key) for key, ttl in left.items() if not 0 < ttl <= day}
            assert {kind(key) for key in left} <= {"gv", "revu", "rl", "own", "did"}
            assert lasting <= {"gv", "revu"}

        await eventually(forgotten, timeout=20)


def kind(key: str) -> str:
    return key.partition(":")[0]
