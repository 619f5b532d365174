"""Text that is code elsewhere is text here, wherever people may put it (T24)."""

import pytest

from tests.support.footprint import contents, rows_of
from tests.support.mesh import Mesh
from tests.support.people import sign_up
from tests.support.refusals import refusal

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = [
    "'; DROP TABLE post; --",
    '" OR ""="',
    "$1 $2 %s %(a)s {0} {a} ${HOME} `id` $(id)",
    "ev.> * ev.ingest.* $JS.API.STREAM.PURGE.EV",
    "]] redis.call('FLUSHALL') --[[",
    "*1\n$8\nFLUSHALL\n",
    "own:{1} chg:{2} }{",
    "data: x\n\nevent: reset\nid: 9:9",
    '{"a":[1]}\\u0000\\',
    "<script>alert(1)</script>&amp;",
    "\u00e9\u4e2d\U0001f600 A\u030a",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_text_comes_back_as_it_was_written(mesh: Mesh, text: str) -> None:
    """Post, comment, name and bio; the post reaches the feed; nothing else moves."""
    async with mesh.client() as client:
        victim = await sign_up(client, "victim")
        await victim.post("untouched")
        people = [victim.user_id]
        ann, fan = await sign_up(client, "ann"), await sign_up(client, "fan")
        await fan.follow(ann)
        before = await rows_of(mesh, people), (await contents(mesh, people))
        pids = mesh.pids(" -m ")

        post = await ann.post(text)
        await ann.call("POST", f"/posts/{post}/comments", json={"text": text})
        await ann.call("PATCH", "/users/me", json={"bio": text.replace("\n", " ")})

        await fan.sees(post)
        item = next(
            item
            for item in (await fan.call("GET", "/feed")).json()["items"]
            if item["post"]["postId"] == post
        )
        comments = (await fan.call("GET", f"/posts/{post}/comments")).json()
        profile = (await fan.call("GET", f"/users/{ann.user_id}")).json()
        assert item["post"]["text"] == text
        assert [c["text"] for c in comments["comments"]] == [text]
        assert profile["user"]["bio"] == text.replace("\n", " ")
        assert (await rows_of(mesh, people), await contents(mesh, people)) == before
        assert mesh.pids(" -m ") == pids


async def test_names_and_keys_are_no_code(mesh: Mesh) -> None:
    """Handles, idempotency keys, request ids, versions, positions, page tokens."""
    async with mesh.client() as client:
        victim = await sign_up(client, "victim")
        await victim.post("untouched")
        people = [victim.user_id]
        ann = await sign_up(client, "ann")
        before = await rows_of(mesh, people), await contents(mesh, people)

        for text in HOSTILE:
            line = text.encode("ascii", "replace").decode().replace("\n", " ").strip()
            key = line.replace(" ", "_")
            handle = {"handle": text, "password": "correct horse battery"}
            assert (await client.post("/v1/users", json=handle)).status_code == 400
            assert (await client.post("/v1/sessions", json=handle)).is_client_error
            found = await client.get("/v1/users:lookup", params={"handle": text})
            assert found.status_code in {400, 404}
            for path, name in (
                ("/feed", "pageToken"),
                ("/sync", "since"),
                (f"/users/{ann.user_id}/posts", "pageToken"),
            ):
                answer = await ann.call("GET", path, params={name: text}, status=400)
                assert refusal(answer)[0] == 400
            first, again = [
                await ann.call(
                    "POST",
                    "/posts",
                    json={"text": "a"},
                    headers={
                        "idempotency-key": key,
                        "x-request-id": line,
                        "x-feedmesh-graph-version": line,
                        "traceparent": line,
                    },
                )
                for _ in range(2)
            ]
            assert first.json()["post"] == again.json()["post"]

        assert (await rows_of(mesh, people), await contents(mesh, people)) == before
        assert len(await ann.feed_ids()) == len(HOSTILE)
