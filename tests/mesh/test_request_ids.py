"""Idempotency keys: one person's, for one route, for one request (T33)."""

import pytest

from tests.support.footprint import rows_of
from tests.support.mesh import Mesh
from tests.support.people import Person, sign_up
from tests.support.refusals import fields_of, refusal

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

POSTS = "svc_ingest.post.author_id"


def under(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


async def post(person: Person, text: str, key: str, status: int = 201) -> str:
    answer = await person.call(
        "POST", "/posts", json={"text": text}, headers=under(key), status=status
    )
    if status != 201:
        assert refusal(answer) == (status, "REQUEST_ID_CONFLICT")
        return ""
    return str(answer.json()["post"]["postId"])


async def test_anothers_key_has_no_effect(mesh: Mesh) -> None:
    """Neither does it answer their post, nor does it stop one's own."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        hers = await post(ann, "the same", "k1")
        his = await post(ben, "the same", "k1")
        other = await ben.call(
            "POST", "/posts", json={"text": "other"}, headers=under("k1"), status=409
        )

        assert hers != his
        assert "the same" not in other.text
        assert hers not in other.text
        assert await post(ann, "the same", "k1") == hers


async def test_another_body_under_a_key_is_refused(mesh: Mesh) -> None:
    """And stores nothing; the first answer stays."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        first = await post(ann, "a", "k")
        for body in ({"text": "b"}, {"text": "a", "visibility": "VISIBILITY_PRIVATE"}):
            answer = await ann.call(
                "POST", "/posts", json=body, headers=under("k"), status=409
            )
            assert refusal(answer) == (409, "REQUEST_ID_CONFLICT")

        assert await post(ann, "a", "k") == first
        assert (await rows_of(mesh, [ann.user_id]))[POSTS] == 1


async def test_a_key_is_of_one_route(mesh: Mesh) -> None:
    """The same key under a post and under a comment are two."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        mine = await post(ann, "a", "k")
        comment = await ann.call(
            "POST", f"/posts/{mine}/comments", json={"text": "a"}, headers=under("k")
        )

        assert comment.status_code == 201
        assert "idempotency-replayed" not in comment.headers


MALFORMED = ["a b", "x" * 129, "\u00e9", "a\tb", "\x7f", "\u202e"]


@pytest.mark.parametrize("key", MALFORMED, ids=ascii)
async def test_a_malformed_key_is_refused(mesh: Mesh, key: str) -> None:
    """By name, in the header and in the body; nothing is stored."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        in_header = await client.post(
            "/v1/posts",
            json={"text": "a"},
            headers=[
                (b"authorization", f"Bearer {ann.token}".encode()),
                (b"idempotency-key", key.encode()),
            ],
        )
        in_body = await ann.call(
            "POST", "/posts", json={"text": "a", "requestId": key}, status=400
        )

        assert refusal(in_header)[0] == 400
        if key != "\x7f":
            # That one is no header at all, and refused before anybody reads it.
            assert fields_of(in_header) == {"Idempotency-Key"}
        assert refusal(in_body) == (400, "VALIDATION_FAILED")
        assert fields_of(in_body) == {"requestId"}
        assert POSTS not in await rows_of(mesh, [ann.user_id])


async def test_keys_are_kept_as_hashes(mesh: Mesh) -> None:
    """What a client put into its key cannot be read in the database."""
    key = "canary-key-" + "x" * 100
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        await post(ann, "a", key)

    for room in ("svc_graph", "svc_ingest"):
        rows = await mesh.fetch(
            room,
            "SELECT 1 FROM request_record r "
            "WHERE position('canary-key'::bytea IN r.key_hash) > 0 "
            "OR r::text LIKE '%canary-key%'",
        )
        assert rows == []
    stored = "SELECT count(*) FROM request_record WHERE caller_id = $1"
    assert await mesh.fetch("svc_ingest", stored, int(ann.user_id)) == [1]
