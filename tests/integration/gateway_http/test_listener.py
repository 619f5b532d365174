"""The port itself: limits before ASGI, requests that are none, health, draining."""

import asyncio
from pathlib import Path

import httpx
import pytest

from chassis.testing import eventually

from tests.support.gateway import front, reason
from tests.support.gateway_rooms import SLOW, rooms, small_posts

HEAD = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


async def test_a_plain_request_is_answered() -> None:
    """What the rest of this file holds its corpus against."""
    async with front(rooms()) as edge:
        assert (await edge.raw(HEAD + b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 500_000, 414),
        (HEAD + b"x: " + b"a" * 17_000 + b"\r\n\r\n", 431),
        (HEAD + b"x: " + b"a" * 500_000, 431),
        (HEAD + b"x: y\r\n" * 70 + b"\r\n", 431),
        (HEAD + b"a" * 500_000, 431),
        (b"GET /livez HTTP/1.1\r\n\x00: x\r\n\r\n", 400),
        (b"NOT HTTP\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        # Two lengths, a length beside chunks, folded lines: one request or two?
        (HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab", 400),
        (
            HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"x: a\r\n b\r\n\r\n", 400),
        (HEAD + b"content-length : 1\r\n\r\na", 400),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_of_ours_is_refused(
    request_: bytes, status: int
) -> None:
    """Too long, or readable in two ways (T13): refused, and the line is cut."""
    async with front(rooms()) as edge:
        raw = await edge.raw(request_)

        assert raw.startswith(b"HTTP/1.1 %d " % status), raw[:200]
        assert raw.count(b"HTTP/1.1 ") == 1
        assert (await edge.http.get("/livez")).status_code == 200


async def test_a_head_that_never_ends_is_cut_off() -> None:
    """Slow heads cost a connection for head_seconds, no longer."""
    async with front(rooms(), head_seconds=0.2) as edge:
        assert (await edge.raw(HEAD)).startswith(b"HTTP/1.1 408 ")
        assert (await edge.raw(b"")).startswith(b"HTTP/1.1 408 ")


async def test_an_upgrade_is_an_ordinary_request() -> None:
    """There are no sockets yet: the request is served as what else it is."""
    async with front(rooms()) as edge:
        raw = await edge.raw(
            b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        assert raw.startswith(b"HTTP/1.1 200 ")


async def test_a_pipelined_request_does_not_inherit_a_caller() -> None:
    """Each request on a connection is its own: caller, deadline and ids."""
    async with front(rooms()) as edge:
        token = edge.signed_in()["authorization"]
        raw = await edge.raw(
            b"GET /v1/feed HTTP/1.1\r\nhost: x\r\nauthorization: "
            + token.encode()
            + b"\r\n\r\nGET /v1/feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )

        assert raw.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 401 " in raw


async def test_a_crowd_is_refused_before_it_hurts() -> None:
    """Above the limit of calls under way, 503 with Retry-After, at once."""
    posts = small_posts()
    async with front(rooms(posts=posts), max_concurrent_calls=2) as edge:
        headers = edge.signed_in()
        async with asyncio.TaskGroup() as group:
            slow = [
                group.create_task(edge.http.get(f"/v1/posts/{SLOW}", headers=headers))
                for _ in range(2)
            ]
            await eventually(lambda: posts.calls == 2)
            third = await edge.http.get("/v1/posts/5", headers=headers)

        assert (third.status_code, reason(third)) == (503, "OVERLOADED")
        assert int(third.headers["retry-after"]) >= 1
        assert [task.result().status_code for task in slow] == [504, 504]


async def test_health_shows_each_upstream() -> None:
    """Alive by answering; ready while a service behind answers."""
    async with front(rooms(), target_push="127.0.0.1:1") as edge:
        live = await edge.http.get("/livez")
        ready = await edge.http.get("/readyz?verbose")

        assert live.json() == {"status": "ok"}
        assert ready.status_code == 200
        upstreams = ready.json()["checks"]["upstreams"]
        assert upstreams.pop("push") == "UNAVAILABLE"
        assert set(upstreams.values()) == {"SERVING"}


async def test_without_any_upstream_it_is_not_ready() -> None:
    """And still alive: a restart would not help."""
    nowhere = {f"target_{name}": "127.0.0.1:1" for name in ("graph", "ingest", "feed")}
    async with front(rooms(), target_push="127.0.0.1:1", **nowhere) as edge:
        ready = await edge.http.get("/readyz")

        assert (ready.status_code, ready.json()) == (503, {"status": "not ready"})
        assert (await edge.http.get("/livez")).status_code == 200
        away = await edge.http.get("/v1/posts/5")
        assert (away.status_code, reason(away)) == (503, "DEPENDENCY_UNAVAILABLE")


async def test_ready_waits_for_the_marker(tmp_path: Path) -> None:
    """Where a file is named, readiness begins with it."""
    marker = tmp_path / "ready"
    async with front(rooms(), ready_file=marker) as edge:
        assert (await edge.http.get("/readyz")).status_code == 503
        marker.touch()
        assert (await edge.http.get("/readyz")).status_code == 200


async def test_the_document_is_served() -> None:
    """With a tag of its own."""
    async with front(rooms()) as edge:
        answer = await edge.http.get("/openapi.json")
        tag = {"if-none-match": answer.headers["etag"]}

        assert answer.json()["openapi"] == "3.1.0"
        assert (await edge.http.get("/openapi.json", headers=tag)).status_code == 304
        wrong = await edge.http.post("/openapi.json")
        assert (wrong.status_code, wrong.headers["allow"]) == (
            405,
            "GET, HEAD, OPTIONS",
        )


async def test_a_request_under_way_outlives_the_drain() -> None:
    """Draining refuses new connections and finishes what it has."""
    posts = small_posts()
    headers: dict[str, str] = {}
    async with asyncio.TaskGroup() as group, front(rooms(posts=posts)) as edge:
        headers |= edge.signed_in()
        url = f"http://127.0.0.1:{edge.port}/v1/posts/{SLOW}"
        last = group.create_task(_get(url, headers))
        await eventually(lambda: posts.calls == 1)

    assert last.result() in (503, 504)


async def _get(url: str, headers: dict[str, str]) -> int:
    async with httpx.AsyncClient() as client:
        return (await client.get(url, headers=headers)).status_code
