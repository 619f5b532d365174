"""Who is calling: the token alone says so, and only while it counts."""

import pytest

from chassis.auth import IDENTITY_KEY, Caller, InternalIdentity, Role
from chassis.secrets import DEVELOPMENT_KEYS

from tests.support.gateway import ANN, front, reason
from tests.support.gateway_rooms import rooms, small_posts

BEN = 88


async def test_a_call_without_a_token_is_challenged() -> None:
    """401 says which scheme is spoken."""
    async with front(rooms()) as edge:
        answer = await edge.http.get("/v1/feed")

        assert (answer.status_code, reason(answer)) == (401, "TOKEN_MISSING")
        assert answer.headers["www-authenticate"] == 'Bearer realm="feedmesh"'


@pytest.mark.parametrize("scheme", ["Bearer x.y.z", "Bearer", "Basic YTpi", "x"])
async def test_a_bad_token_is_refused_even_where_none_is_needed(scheme: str) -> None:
    """A caller who shows a token means to be known by it."""
    async with front(rooms()) as edge:
        answer = await edge.http.get("/v1/posts/5", headers={"authorization": scheme})

        assert (answer.status_code, reason(answer)) == (401, "TOKEN_INVALID")
        assert "invalid_token" in answer.headers["www-authenticate"]


async def test_nothing_but_the_token_says_who_is_calling() -> None:
    """Query, headers and identity of another person are refused or ignored (T1)."""
    async with front(rooms()) as edge:
        forged = InternalIdentity(DEVELOPMENT_KEYS).sign(Caller(BEN, Role.INTERNAL))
        headers = {
            **edge.signed_in(ANN),
            IDENTITY_KEY: forged,
            "x-user-id": str(BEN),
            "x-forwarded-user": str(BEN),
        }
        feed = await edge.http.get("/v1/feed", headers=headers)
        query = await edge.http.get(f"/v1/feed?userId={BEN}", headers=headers)
        alone = await edge.http.get("/v1/feed", headers={IDENTITY_KEY: forged})

        assert feed.json()["items"] == [{"author": {"userId": str(ANN)}}]
        assert query.status_code == 400
        assert alone.status_code == 401


async def test_only_a_service_token_acts_as_somebody() -> None:
    """x-feedmesh-act-as is an offence in anybody else's request."""
    async with front(rooms()) as edge:
        act_as = {"x-feedmesh-act-as": str(BEN)}
        acting = await edge.http.get("/v1/feed", headers=edge.service(**act_as))
        assert acting.json()["items"] == [{"author": {"userId": str(BEN)}}]

        others: tuple[dict[str, str], ...] = (
            edge.signed_in(ANN),
            edge.signed_in(ANN, role=Role.ADMIN),
            {},
        )
        for headers in others:
            answer = await edge.http.get("/v1/feed", headers={**headers, **act_as})
            assert (answer.status_code, reason(answer)) == (403, "AUDIENCE_DENIED")


async def test_a_service_token_alone_is_nobody() -> None:
    """It may not read a person's feed without saying whose."""
    async with front(rooms()) as edge:
        answer = await edge.http.get("/v1/feed", headers=edge.service())

        assert (answer.status_code, reason(answer)) == (403, "AUDIENCE_DENIED")


async def test_the_audience_is_the_contracts() -> None:
    """An admin's route is closed to people (T5)."""
    async with front(rooms()) as edge:
        path = "/v1/users/5:suspend"
        person = await edge.http.post(path, headers=edge.signed_in())
        nobody = await edge.http.post(path)
        admin = await edge.http.post(path, headers=edge.signed_in(role=Role.ADMIN))

        assert (person.status_code, nobody.status_code) == (403, 401)
        # Let in, and then there is no such service behind this gateway.
        assert admin.status_code == 501


async def test_a_revoked_session_ends_at_once() -> None:
    """The mark of a session, and that of a person, void tokens before they expire."""
    posts = small_posts()
    async with front(rooms(posts=posts)) as edge:

        async def status(user_id: int, session: str) -> int:
            headers = edge.signed_in(user_id, session_id=session)
            return (await edge.http.get("/v1/posts/5", headers=headers)).status_code

        assert await status(ANN, "s1") == 200
        await edge.valkey.set("rev:s1", b"1")
        assert await status(ANN, "s1") == 401
        assert await status(ANN, "s2") == 200
        await edge.valkey.set(f"revu:{ANN}", 4_000_000_000)
        assert await status(ANN, "s2") == 401
        assert await status(BEN, "s3") == 200
        # Tokens issued after the moment that was marked count again.
        await edge.valkey.set(f"revu:{ANN}", 1_000_000_000)
        assert await status(ANN, "s2") == 200


async def test_rates_are_per_person_and_said_in_headers() -> None:
    """429 with Retry-After; others, and service tokens, are not touched."""
    async with front(rooms(), rate_profile="production") as edge:

        async def create(headers: dict[str, str]) -> tuple[int, dict[str, str]]:
            answer = await edge.http.post(
                "/v1/posts", json={"text": "a"}, headers=headers
            )
            return answer.status_code, dict(answer.headers)

        ann = edge.signed_in(ANN)
        tried = [await create(ann) for _ in range(4)]
        assert [status for status, _ in tried] == [201, 201, 201, 429]
        assert tried[0][1]["ratelimit-limit"] == "3"
        assert [h["ratelimit-remaining"] for _, h in tried] == ["2", "1", "0", "0"]
        assert 1 <= int(tried[3][1]["retry-after"]) <= 10
        assert (await create(edge.signed_in(BEN)))[0] == 201

        robot = edge.service(**{"x-feedmesh-act-as": str(ANN)})
        status, headers = await create(robot)
        assert status == 201
        assert "ratelimit-limit" not in headers


async def test_calls_without_a_token_share_the_limit_of_their_address() -> None:
    """Reads draw from `anonymous`, sign-in from its own class."""
    async with front(rooms(), rate_profile="production") as edge:
        read = await edge.http.get("/v1/posts/5")
        login = await edge.http.post("/v1/sessions", json={})

        assert read.headers["ratelimit-limit"] == "60"
        assert login.headers["ratelimit-limit"] == "5"


async def test_without_valkey_reads_go_on_and_sign_in_does_not() -> None:
    """Tokens count as they are, limits are kept by the process, guessing is stopped."""
    async with front(rooms(), valkey_url="redis://127.0.0.1:1/0") as edge:
        feed = await edge.http.get("/v1/feed", headers=edge.signed_in())
        login = await edge.http.post("/v1/sessions", json={"handle": "a"})

        assert feed.status_code == 200
        assert (login.status_code, reason(login)) == (503, "DEPENDENCY_UNAVAILABLE")
        assert (await edge.http.get("/readyz")).status_code == 200
