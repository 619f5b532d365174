"""Unary routes over real HTTP: statuses, headers, conditions, deadlines, retries."""

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from chassis.tracing import tracing_with

from tests.support.gateway import (
    ANN,
    Front,
    free_port,
    front,
    reason,
    violations,
)
from tests.support.gateway_rooms import (
    AWAY,
    BROKEN,
    FLAKY,
    MISSING,
    SLOW,
    rooms,
    small_posts,
)


async def test_a_call_passes_with_its_caller_and_its_id() -> None:
    """The service sees the person of the token and the request id of the header."""
    async with front(rooms()) as edge:
        headers = {**edge.signed_in(), "x-request-id": "r1"}
        answer = await edge.http.get("/v1/feed", headers=headers)

        assert answer.status_code == 200
        assert answer.json() == {
            "items": [{"author": {"userId": str(ANN)}}],
            "nextPageToken": "r1",
        }
        assert answer.headers["x-request-id"] == "r1"
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert int(answer.headers["ratelimit-remaining"]) >= 0


async def test_success_has_the_status_of_the_contract() -> None:
    """201 where something was made."""
    async with front(rooms()) as edge:
        answer = await edge.http.post(
            "/v1/posts", json={"text": "a"}, headers=edge.signed_in()
        )

        assert answer.status_code == 201
        assert answer.json() == {"post": {"postId": "1", "text": "a"}}
        assert answer.headers["cache-control"] == "no-store"
        assert "idempotency-replayed" not in answer.headers


async def test_a_replay_says_so() -> None:
    """The header Idempotency-Key is the request id; another body under it is 409."""
    async with front(rooms()) as edge:

        async def create(key: str, **body: str) -> httpx.Response:
            headers = {**edge.signed_in(), "idempotency-key": key}
            return await edge.http.post("/v1/posts", json=body, headers=headers)

        again = await create("again", text="a")
        assert again.headers["idempotency-replayed"] == "true"
        taken = await create("taken", text="a")
        assert (taken.status_code, reason(taken)) == (409, "REQUEST_ID_CONFLICT")
        bad = await create("a b", text="a")
        assert (bad.status_code, violations(bad)) == (400, ["Idempotency-Key"])
        twice = await create("a", text="a", requestId="b")
        assert (twice.status_code, violations(twice)) == (400, ["requestId"])


@pytest.mark.parametrize(
    ("post_id", "status", "why"),
    [
        (MISSING, 404, "POST_NOT_FOUND"),
        (BROKEN, 500, "INTERNAL"),
        (AWAY, 503, "OVERLOADED"),
        (0, 400, "VALIDATION_FAILED"),
    ],
)
async def test_an_error_is_a_status_in_json(
    post_id: int, status: int, why: str
) -> None:
    """code, message and typed details; nothing of what we would rather not tell."""
    async with front(rooms()) as edge:
        answer = await edge.http.get(f"/v1/posts/{post_id}", headers=edge.signed_in())

        assert (answer.status_code, reason(answer)) == (status, why)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        (info,) = [d for d in answer.json()["details"] if "requestId" in d]
        assert info["requestId"] == answer.headers["x-request-id"]
        assert "secret" not in answer.text


async def test_a_problem_document_says_the_same() -> None:
    """By Accept, with the media type of RFC 9457."""
    async with front(rooms()) as edge:
        accept = {"accept": "application/json, application/problem+json"}
        answer = await edge.http.get(
            f"/v1/posts/{MISSING}", headers={**edge.signed_in(), **accept}
        )

        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code == 404
        assert answer.json()["reason"] == "POST_NOT_FOUND"


async def test_rules_of_fields_are_told_in_names_of_json() -> None:
    """Services name fields as the contract does; HTTP callers know JSON's names."""
    async with front(rooms()) as edge:
        answer = await edge.http.post(
            "/v1/posts", json={"text": "a", "replyTo": -1}, headers=edge.signed_in()
        )

        assert (answer.status_code, violations(answer)) == (400, ["replyTo"])


async def test_when_to_come_back_is_told() -> None:
    """Retry-After in whole seconds, where the service said when."""
    async with front(rooms()) as edge:
        answer = await edge.http.get(f"/v1/posts/{AWAY}", headers=edge.signed_in())

        assert answer.headers["retry-after"] == "7"


async def test_an_unknown_path_is_404_and_a_wrong_method_405() -> None:
    """405 says what is allowed; OPTIONS says it without being refused."""
    async with front(rooms()) as edge:
        unknown = await edge.http.get("/v1/nothing")
        assert (unknown.status_code, reason(unknown)) == (404, "METHOD_UNKNOWN")
        wrong = await edge.http.put("/v1/posts")
        assert (wrong.status_code, reason(wrong)) == (405, "HTTP_METHOD_NOT_ALLOWED")
        assert wrong.headers["allow"] == "OPTIONS, POST"
        options = await edge.http.options("/v1/feed")
        assert (options.status_code, options.text) == (204, "")
        assert options.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_head_is_get_without_the_body() -> None:
    """The same headers."""
    async with front(rooms()) as edge:
        headers = {**edge.signed_in(), "x-request-id": "r"}
        get = await edge.http.get("/v1/feed", headers=headers)
        head = await edge.http.head("/v1/feed", headers=headers)

        assert (head.status_code, head.content) == (200, b"")
        for name in ("etag", "content-length", "content-type", "cache-control"):
            assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        "/feedmesh.rank.v1.RankService/Rank",
        "/feedmesh.graph.v1.GraphService/GetRelations",
        "/v1/posts/../feed",
        "/v1/./feed",
        "/v1/%2e%2e/feed",
        "/v1%2Ffeed",
        "/v1/feed%00",
        "/v1/feed%zz",
        "/v1/feed/",
        "//v1/feed",
        "/v1\\feed",
    ],
)
async def test_internal_methods_and_tricky_paths_lead_nowhere(path: str) -> None:
    """Only routes of the contract, spelt one way (T5, T13)."""
    async with front(rooms()) as edge:
        for verb in ("GET", "POST"):
            head = f"{verb} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            token = edge.signed_in()["authorization"]
            raw = await edge.raw(f"{head}authorization: {token}\r\n\r\n".encode())
            assert raw.split(b" ", 2)[1] in (b"404", b"400"), raw


async def test_an_etag_saves_the_body() -> None:
    """304 for the same bytes; the tag changes with them."""
    async with front(rooms()) as edge:
        headers = edge.signed_in()
        first = await edge.http.get("/v1/posts/5", headers=headers)
        tag = {"if-none-match": first.headers["etag"]}
        again = await edge.http.get("/v1/posts/5", headers={**headers, **tag})
        other = await edge.http.get("/v1/posts/6", headers={**headers, **tag})

        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "content-type" not in again.headers
        assert other.status_code == 200


async def test_if_match_takes_the_tag_of_a_get_and_the_field() -> None:
    """A mismatch is 412 with If-Match, and 409 for an etag in the body."""
    async with front(rooms()) as edge:
        headers = edge.signed_in()
        get = await edge.http.get("/v1/posts/5", headers=headers)

        async def patch(tag: str, **body: str) -> int:
            condition = {"if-match": tag} if tag else {}
            answer = await edge.http.patch(
                "/v1/posts/5", json=body, headers={**headers, **condition}
            )
            return answer.status_code

        assert await patch(get.headers["etag"], text="x") == 200
        assert await patch('"e1"', text="x") == 200
        assert await patch("*", text="x") == 200
        assert await patch('"old"', text="x") == 412
        assert await patch('W/"e1"', text="x") == 412
        assert await patch("", text="x", etag="old") == 409
        assert await patch("e1", text="x") == 400


async def test_a_condition_that_nobody_checks_is_refused() -> None:
    """A route without versions does not act as if it had compared one."""
    async with front(rooms()) as edge:
        headers = {**edge.signed_in(), "if-match": '"e1"'}
        answer = await edge.http.post("/v1/posts", json={"text": "a"}, headers=headers)

        assert (answer.status_code, violations(answer)) == (400, ["If-Match"])


async def test_a_patch_names_what_it_changes() -> None:
    """The mask is the names in the body, unless the query has one."""
    async with front(rooms()) as edge:

        async def mask(query: str = "") -> str:
            answer = await edge.http.patch(
                f"/v1/posts/5{query}", json={"text": "x"}, headers=edge.signed_in()
            )
            return str(answer.json()["post"]["text"])

        assert await mask() == "text"
        assert await mask("?updateMask=visibility") == "visibility"


async def test_the_graph_version_goes_both_ways() -> None:
    """Out of a follow, into the next read."""
    async with front(rooms()) as edge:
        follow = await edge.http.put(
            "/v1/users/me/following/5", headers=edge.signed_in()
        )
        version = follow.headers["x-feedmesh-graph-version"]
        headers = {**edge.signed_in(), "x-feedmesh-graph-version": version}
        feed = await edge.http.get("/v1/feed", headers=headers)

        assert version == follow.json()["graphVersion"] == "42"
        assert feed.json()["newPostCount"] == 42


@pytest.mark.parametrize(
    ("headers", "most"),
    [
        ({}, 1.5),
        ({"grpc-timeout": "200m"}, 0.2),
        ({"x-request-timeout": "0.3"}, 0.3),
        ({"x-request-timeout": "60"}, 1.5),
    ],
)
async def test_a_deadline_is_passed_on_and_capped(
    headers: dict[str, str], most: float
) -> None:
    """The service learns what is left; nobody gets more than the contract gives."""
    posts = small_posts()
    async with front(rooms(posts=posts)) as edge:
        await edge.http.get("/v1/posts/5", headers={**edge.signed_in(), **headers})

        (left,) = posts.remaining
        assert left is not None
        assert most - 0.15 < left < most


async def test_a_deadline_that_passes_is_504() -> None:
    """While waiting, and when it is over before it starts."""
    posts = small_posts()
    async with front(rooms(posts=posts)) as edge:

        async def get(timeout: str) -> httpx.Response:
            headers = {**edge.signed_in(), "x-request-timeout": timeout}
            return await edge.http.get(f"/v1/posts/{SLOW}", headers=headers)

        late = await get("0.1")
        assert (late.status_code, reason(late)) == (504, "DEADLINE_EXCEEDED")
        assert posts.calls == 1
        gone = await get("0")
        assert (gone.status_code, reason(gone)) == (504, "DEADLINE_EXCEEDED")
        assert posts.calls == 1


async def test_an_idempotent_read_is_tried_twice() -> None:
    """One UNAVAILABLE is not seen; one that says when to come back is passed on."""
    posts = small_posts()
    async with front(rooms(posts=posts)) as edge:
        answer = await edge.http.get(f"/v1/posts/{FLAKY}", headers=edge.signed_in())
        assert (answer.status_code, posts.calls) == (200, 2)

        await edge.http.get(f"/v1/posts/{AWAY}", headers=edge.signed_in())
        assert posts.calls == 3


@pytest.mark.parametrize(
    ("headers", "status", "why"),
    [
        ({"accept": "text/html"}, 406, "NOT_ACCEPTABLE"),
        ({"accept": "application/json;q=0"}, 406, "NOT_ACCEPTABLE"),
        ({"content-type": "text/plain"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
        ({"content-type": ""}, 415, "MEDIA_TYPE_UNSUPPORTED"),
        ({"content-encoding": "gzip"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
        ({"grpc-timeout": "soon"}, 400, "VALIDATION_FAILED"),
    ],
)
async def test_what_the_edge_does_not_speak_is_refused(
    headers: dict[str, str], status: int, why: str
) -> None:
    """With the status HTTP has for it, and without asking the service (T10)."""
    posts = small_posts()
    async with front(rooms(posts=posts)) as edge:
        json = {"content-type": "application/json"}
        answer = await edge.http.post(
            "/v1/posts",
            content=b'{"text":"a"}',
            headers={**edge.signed_in(), **json, **headers},
        )

        assert (answer.status_code, reason(answer)) == (status, why)
        assert posts.calls == 0


async def test_a_header_given_twice_is_refused() -> None:
    """Which of two keys, tokens or deadlines counts is not ours to guess."""
    async with front(rooms()) as edge:
        await refuses_twice(edge, "idempotency-key")
        await refuses_twice(edge, "x-request-timeout")


async def refuses_twice(edge: Front, name: str) -> None:
    answer = await edge.http.post(
        "/v1/posts",
        json={"text": "a"},
        headers=[*edge.signed_in().items(), (name, "1"), (name, "2")],
    )
    assert (answer.status_code, violations(answer)) == (400, [name])


async def test_requests_are_counted_by_template() -> None:
    """Never by path: ids would make a series each."""
    admin = free_port()
    async with front(rooms(), admin_port=admin) as edge:
        await edge.http.get("/v1/posts/5", headers=edge.signed_in())
        await edge.http.get("/v1/nothing/7")
        text = (await edge.http.get(f"http://127.0.0.1:{admin}/metrics")).text

        assert 'http_route="/v1/posts/{post_id}"' in text
        assert 'http_route="_unknown"' in text
        assert "/v1/posts/5" not in text
        assert "/v1/nothing" not in text


async def test_a_request_is_a_span_and_the_call_its_child() -> None:
    """One trace from the caller's header through the edge to the service."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with tracing_with(provider):
        async with front(rooms()) as edge:
            headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
            await edge.http.get("/v1/posts/5", headers=headers)

    spans = {span.name: span for span in exporter.get_finished_spans()}
    edge_span = spans["GET /v1/posts/{post_id}"]
    assert f"{edge_span.context.trace_id:032x}" == trace
    assert edge_span.attributes is not None
    assert edge_span.attributes["http.response.status_code"] == 200
    children = [
        span
        for span in exporter.get_finished_spans()
        if span.parent and span.parent.span_id == edge_span.context.span_id
    ]
    assert ["PostService/GetPost" in span.name for span in children] == [True]
