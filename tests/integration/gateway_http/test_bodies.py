"""Bodies meant to hurt: every route refuses them, and the process lives (T8)."""

import re
from collections.abc import AsyncIterator

import pytest

from chassis.auth import Role

from gateway_http.image import packaged
from gateway_http.routes import build
from tests.support.gateway import front, reason
from tests.support.gateway_rooms import rooms, small_posts

KB64 = 64 * 1024
JSON = {"content-type": "application/json"}
VARIABLE = re.compile(r"\{[^}]*\}")

# Every route that takes a body, its variables filled in.
WITH_BODY = [
    (route.rule.verb, VARIABLE.sub("5", route.template.text))
    for route in build(packaged()).all
    if route.rule.body
]

BOMBS = {
    "brackets": b"[" * KB64,
    "objects": b'{"text":' * (KB64 // 8),
    "nodes": (b"[" + b"1," * KB64)[: KB64 - 1] + b"]",
    "digits": b'{"text":' + b"9" * 5_000 + b"}",
    "string": b'{"text":"' + b"\\" * (KB64 - 20),
    "twice": b'{"requestId":"a","requestId":"b"}',
    "two names": b'{"requestId":"a","request_id":"a"}',
    "NaN": b'{"text":NaN}',
    "surrogate": b'{"text":"\\ud800"}',
    "nul": b'{"text":"\\u0000"}',
    "bytes": b'{"text":"\xff"}',
}


async def test_every_route_with_a_body_survives_every_bomb() -> None:
    """64 KB of `[` and of `{"text":`, and the rest of the corpus, to every route."""
    async with front(rooms()) as edge:
        headers = {**edge.signed_in(role=Role.ADMIN), **JSON}
        answers: dict[tuple[str, str, str], int] = {}
        for verb, path in WITH_BODY:
            for name, bomb in BOMBS.items():
                answer = await edge.http.request(
                    verb, path, content=bomb, headers=headers
                )
                answers[verb, path, name] = answer.status_code
        alive = await edge.http.get("/livez")

        assert {key: s for key, s in answers.items() if s != 400} == {}
        assert alive.status_code == 200
        assert {verb for verb, _ in WITH_BODY} >= {"POST", "PUT", "PATCH"}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_413_unread(chunked: bool) -> None:
    """By its stated length, and by its real one where none is stated."""
    posts = small_posts()
    async with front(rooms(posts=posts)) as edge:

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(400):
                yield b"[" * 1_000

        answer = await edge.http.post(
            "/v1/posts",
            content=chunks() if chunked else b"[" * 400_000,
            headers={**edge.signed_in(), **JSON},
        )

        assert (answer.status_code, reason(answer)) == (413, "REQUEST_TOO_LARGE")
        assert answer.headers["connection"] == "close"
        assert posts.calls == 0
        assert (await edge.http.get("/livez")).status_code == 200


async def test_a_body_that_never_ends_is_cut_off() -> None:
    """The body has a time of its own."""
    async with front(rooms(), body_seconds=0.2) as edge:
        token = edge.signed_in()["authorization"]
        head = (
            "POST /v1/posts HTTP/1.1\r\nhost: x\r\n"
            "content-type: application/json\r\ncontent-length: 100\r\n"
            f"authorization: {token}\r\n\r\n"
        )
        raw = await edge.raw(head.encode() + b"{")

        assert raw.startswith(b"HTTP/1.1 504 ")


async def test_extra_fields_change_nothing() -> None:
    """What a caller may not set is refused by name, or without effect (T4)."""
    async with front(rooms()) as edge:
        for extra in ("authorId", "author_id", "createTime", "isAdmin", "likeCount"):
            answer = await edge.http.post(
                "/v1/posts", json={"text": "a", extra: "1"}, headers=edge.signed_in()
            )
            assert (answer.status_code, reason(answer)) == (400, "BODY_INVALID")
        patch = await edge.http.patch(
            "/v1/posts/5",
            json={"text": "x", "authorId": "1", "createTime": "2026-01-01T00:00:00Z"},
            headers=edge.signed_in(),
        )

        assert patch.json()["post"]["text"] == "text"
