"""Bad input to every route: a clear refusal, and nothing has changed."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
from google.protobuf.descriptor import FieldDescriptor

from gateway_http.image import packaged
from gateway_http.routes import Route, build
from tests.support.footprint import contents, rows_of
from tests.support.mesh import Mesh
from tests.support.people import Person, sign_up
from tests.support.refusals import fields_of, refusal

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUTES = build(packaged()).all
UNARY = [route for route in ROUTES if not route.method.server_streaming]
WITH_BODY = [route for route in ROUTES if route.rule.body]
VARIABLE = re.compile(r"\{([^}=]+)[^}]*\}")
JSON = {"content-type": "application/json"}
KB64 = 64 * 1024
NOBODY = str(2**62)
WHOLE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_INT32)


@dataclass(frozen=True)
class Scene:
    """An admin, who may call every route, somebody whom it would hurt, a stranger."""

    mesh: Mesh
    admin: Person
    victim: Person
    stranger: Person
    post: str
    comment: str

    def path(self, route: Route, **instead: str) -> str:
        """The route's path, naming what is there."""
        things = {
            "user_id": self.victim.user_id,
            "user.user_id": self.victim.user_id,
            "post_id": self.post,
            "post.post_id": self.post,
            "comment_id": self.comment,
        }
        return VARIABLE.sub(lambda m: (things | instead)[m[1]], route.rule.template)

    async def send(
        self, route: Route, path: str = "", **options: object
    ) -> httpx.Response:
        headers = {**self.admin.headers, **(options.pop("headers", None) or {})}  # type: ignore[dict-item] # a dict where it is given
        return await self.admin.client.request(
            route.rule.verb,
            path or self.path(route),
            headers=headers,
            **options,  # type: ignore[arg-type] # httpx takes many
        )

    @asynccontextmanager
    async def unchanged(self) -> AsyncIterator[None]:
        """Whatever happens inside leaves everything of theirs as it was."""
        people = [self.admin.user_id, self.victim.user_id, self.stranger.user_id]
        before = await rows_of(self.mesh, people), await contents(self.mesh, people)
        assert before[0]["svc_ingest.post.author_id"] == 2

        yield

        after = await rows_of(self.mesh, people), await contents(self.mesh, people)
        assert after == before
        # And they are still signed in.
        await self.victim.call("GET", "/users/me")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(mesh: Mesh) -> AsyncIterator[Scene]:
    """Shared, since nothing here may change it."""
    async with mesh.client() as client:
        plain, victim = await sign_up(client, "root"), await sign_up(client, "victim")
        token = await mesh.token(plain.handle, "--admin")
        admin = Person(client, plain.handle, plain.user_id, token)
        await admin.follow(victim)
        await victim.follow(admin)
        post = await victim.post("mine")
        await admin.post("and mine")
        await victim.call("PUT", f"/posts/{post}/like")
        comment = await victim.call(
            "POST", f"/posts/{post}/comments", json={"text": "well"}
        )
        await admin.sees(post)
        yield Scene(
            mesh,
            admin,
            victim,
            await sign_up(client, "stranger"),
            post,
            comment.json()["comment"]["commentId"],
        )


def variables(route: Route) -> list[str]:
    return VARIABLE.findall(route.rule.template)


async def test_a_path_that_is_no_id_is_refused(scene: Scene) -> None:
    """Of the wrong type, out of range, or not above zero: by the field's name."""
    async with scene.unchanged():
        for route in ROUTES:
            for name in variables(route):
                for bad in ("x", "1.5", "-1", "0", "9" * 30, "1e3", "%F0%9F%98%80"):
                    answer = await scene.send(route, scene.path(route, **{name: bad}))

                    if "." in name and bad in {"-1", "0"}:
                        # In a resource the id has no rule: it is that of nobody.
                        assert refusal(answer)[0] in {403, 404}, answer.text
                        continue
                    assert refusal(answer) == (400, "VALIDATION_FAILED"), answer.url
                    assert field_names(answer) & {name.rpartition(".")[2]}


def field_names(answer: httpx.Response) -> set[str]:
    """The last names of the refused fields, as the contract writes them."""
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "_", field.rpartition(".")[2]).lower()
        for field in fields_of(answer)
    }


async def test_a_query_is_refused_by_name(scene: Scene) -> None:
    """Unknown parameters, wrong types, the same one twice."""
    async with scene.unchanged():
        for route in ROUTES:
            for name, query in bad_queries(route):
                answer = await scene.send(route, f"{scene.path(route)}?{query}")

                assert refusal(answer) == (400, "VALIDATION_FAILED"), answer.url
                assert name in fields_of(answer)


def bad_queries(route: Route) -> Iterator[tuple[str, str]]:
    yield "nosuch", "nosuch=1"
    for name, path in route.binding.parameters.items():
        field = path[-1]
        if not field.is_repeated:
            yield name, f"{name}=1&{name}=2"
        if field.cpp_type in WHOLE:
            yield name, f"{name}=ten"
            yield name, f"{name}=1.5"
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            yield name, f"{name}=maybe"
        if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            yield name, f"{name}=NO_SUCH"


async def test_a_body_is_refused_by_name(scene: Scene) -> None:
    """Unknown fields and values of another type, each named."""
    async with scene.unchanged():
        for route in WITH_BODY:
            for name, body in bad_fields(route):
                answer = await scene.send(route, json=body)

                status, why = refusal(answer)
                assert (status, why) == (400, "BODY_INVALID"), (route.label, body)
                assert name in fields_of(answer)


def bad_fields(route: Route) -> Iterator[tuple[str, object]]:
    yield "nosuch", {"nosuch": 1}
    message = route.binding.body_message
    assert message is not None
    for field in message.fields:
        name = field.json_name
        wrong: list[object] = [{"a": 1}, [1]]
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            wrong.append(5)
        if field.cpp_type in WHOLE:
            wrong += ["x", 1.5, True, "9" * 30]
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            wrong += ["yes", 1]
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            wrong = [5, True]
        for value in wrong:
            yield name, {name: value}


NO_BODIES: dict[str, bytes] = {
    "nothing of JSON": b"text=hello",
    "a list": b"[]",
    "a text": b'"text"',
    "a number": b"7",
    "null": b"null",
    "two": b"{}{}",
    "cut short": b'{"text":"a"',
    "a name twice": b'{"requestId":"a","requestId":"b"}',
    "half a character": b'{"text":"\xc3"}',
    "brackets": b"[" * KB64,
    "objects": b'{"text":' * (KB64 // 8),
}


@pytest.mark.parametrize("name", NO_BODIES)
async def test_what_is_no_json_object_is_refused(scene: Scene, name: str) -> None:
    """64 KB of brackets too: every POST, PUT and PATCH answers, and goes on."""
    async with scene.unchanged():
        before = scene.mesh.pids(" -m ")
        for route in WITH_BODY:
            answer = await scene.send(route, content=NO_BODIES[name], headers=JSON)

            status, why = refusal(answer)
            assert status == 400
            assert why in {"BODY_INVALID", "REQUEST_TOO_LARGE"}, route.label

        assert scene.mesh.pids(" -m ") == before


async def test_a_body_of_another_size_or_kind_is_refused(scene: Scene) -> None:
    """413 above the limit, 415 for what is not JSON, 400 where none is taken."""
    async with scene.unchanged():
        for route in ROUTES:
            large = await scene.send(route, content=b" " * (KB64 + 1), headers=JSON)
            assert refusal(large) == (413, "REQUEST_TOO_LARGE"), route.label
            if route.rule.body:
                form = {"content-type": "application/x-www-form-urlencoded"}
                other = await scene.send(route, content=b"{}", headers=form)
                assert refusal(other) == (415, "MEDIA_TYPE_UNSUPPORTED"), route.label
            else:
                extra = await scene.send(route, content=b"{}", headers=JSON)
                assert refusal(extra) == (400, "BODY_INVALID"), route.label


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("x-request-timeout", "0", (504, "DEADLINE_EXCEEDED")),
        ("x-request-timeout", "0.000", (504, "DEADLINE_EXCEEDED")),
        ("grpc-timeout", "0n", (504, "DEADLINE_EXCEEDED")),
        ("grpc-timeout", "1n", (504, "DEADLINE_EXCEEDED")),
        ("x-request-timeout", "4ms", (504, "DEADLINE_EXCEEDED")),
        ("x-request-timeout", "-1", (400, "VALIDATION_FAILED")),
        ("grpc-timeout", "soon", (400, "VALIDATION_FAILED")),
    ],
)
async def test_a_deadline_that_is_gone_does_nothing(
    scene: Scene, header: str, value: str, expected: tuple[int, str]
) -> None:
    """Though everything else about the request is right."""
    async with scene.unchanged():
        for route in UNARY:
            answer = await scene.send(
                route, headers={header: value}, json=right_body(route)
            )

            assert refusal(answer) == expected, route.label


def right_body(route: Route) -> dict[str, str] | None:
    """A body that the route takes; None where it takes none."""
    bodies = {
        "CreateUser": {"handle": "late_comer", "password": "correct horse battery"},
        "CreateSession": {"handle": "root", "password": "correct horse battery"},
        "RefreshSession": {"refreshToken": "x" * 43},
        "RevokeSession": {"refreshToken": "x" * 43},
        "CreatePost": {"text": "late"},
        "UpdatePost": {"text": "late"},
        "UpdateUser": {"bio": "late"},
        "CreateComment": {"text": "late"},
    }
    return bodies.get(route.method.name, {}) if route.rule.body else None


async def test_rules_of_fields_are_named(scene: Scene) -> None:
    """Too long, too many, not allowed together: the field and its rule."""
    async with scene.unchanged():
        for verb, path, body, field in (
            ("POST", "/posts", {"text": "x" * 501}, "text"),
            ("POST", "/posts", {"text": "a\u202eb"}, "text"),
            ("POST", "/posts", {"text": "a", "requestId": "a b"}, "requestId"),
            ("POST", "/posts", {"text": "a", "visibility": 99}, "visibility"),
            ("POST", "/posts", {"text": "a", "replyTo": "-5"}, "replyTo"),
            ("POST", f"/posts/{scene.post}/comments", {"text": ""}, "text"),
            ("PATCH", f"/posts/{scene.post}", {"text": "x" * 501}, "post.text"),
            ("POST", "/users", {"handle": "A!", "password": "x" * 20}, "handle"),
            ("POST", "/users", {"handle": "abc", "password": "x"}, "password"),
            ("PATCH", "/users/me", {"bio": "x" * 5_000}, "user.bio"),
        ):
            answer = await scene.admin.call(verb, path, json=body, status=400)

            assert refusal(answer) == (400, "VALIDATION_FAILED"), answer.text
            assert field in fields_of(answer), answer.text


async def test_what_is_not_there_is_not_found(scene: Scene) -> None:
    """Ids of nobody and nothing: 404 with what is missing, or nothing to undo."""
    harmless = {"Unfollow", "Unblock", "Unmute", "DenyFollower"}
    async with scene.unchanged():
        for route in UNARY:
            if not variables(route):
                continue
            name = route.method.name
            instead = dict.fromkeys(variables(route), NOBODY)
            path = scene.path(route, **instead)
            answer = await scene.send(route, path, json=right_body(route))

            if name in harmless and answer.is_success:
                continue
            status, why = refusal(answer)
            if name in {"UpdateUser", "DeleteUser"}:
                # Nobody else's account may be told from no account at all.
                assert (status, why) == (403, "NOT_OWNER"), answer.url
                continue
            assert status == 404, (answer.url, answer.text)
            assert why.endswith("_NOT_FOUND"), answer.url


# Verb, path and body of what somebody does to what is another's.
OTHERS = [
    ("PATCH", "/posts/{post}", {"text": "taken over"}, (403, "NOT_OWNER")),
    ("DELETE", "/posts/{post}", None, (403, "NOT_OWNER")),
    ("DELETE", "/comments/{comment}", None, (403, "NOT_OWNER")),
    ("PATCH", "/users/{victim}", {"bio": "taken over"}, (403, "NOT_OWNER")),
    ("DELETE", "/users/{victim}", None, (403, "NOT_OWNER")),
    ("POST", "/users/{victim}:suspend", {}, (403, "AUDIENCE_DENIED")),
    ("POST", "/users/{victim}:reinstate", {}, (403, "AUDIENCE_DENIED")),
]


@pytest.mark.parametrize(("verb", "path", "body", "expected"), OTHERS)
async def test_what_is_anothers_stays_as_it_is(
    scene: Scene, verb: str, path: str, body: object, expected: tuple[int, str]
) -> None:
    """Only its owner changes it."""
    async with scene.unchanged():
        where = path.format(
            post=scene.post, comment=scene.comment, victim=scene.victim.user_id
        )
        answer = await scene.stranger.call(verb, where, status=expected[0], json=body)

        assert refusal(answer) == expected
