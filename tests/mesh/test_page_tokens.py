"""Page tokens that are not the caller's for this list: one answer for all (T15)."""

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from gateway_http.image import packaged
from gateway_http.routes import build
from tests.support.mesh import Mesh
from tests.support.people import Person, sign_up
from tests.support.refusals import refusal, without_request_id

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

REFUSED = (400, "PAGE_TOKEN_INVALID")


@dataclass(frozen=True)
class Shelf:
    """Ann, whose lists all have more than one item, and Ben, who has as much."""

    ann: Person
    ben: Person
    post: str

    def lists(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Path and query of every list, by the RPC behind it."""
        ann = self.ann.user_id
        return {
            "ListFollowers": (f"/users/{ann}/followers", {}),
            "ListFollowing": (f"/users/{ann}/following", {}),
            "ListFollowRequests": ("/users/me/followRequests", {}),
            "ListBlocks": ("/users/me/blocks", {}),
            "ListMutes": ("/users/me/mutes", {}),
            "ListLikes": (f"/posts/{self.post}/likes", {}),
            "ListComments": (f"/posts/{self.post}/comments", {}),
            "ListUserPosts": (f"/users/{ann}/posts", {}),
            "GetHomeFeed": ("/feed", {"order": "ORDER_LATEST"}),
        }

    async def token(self, person: Person, path: str, query: dict[str, str]) -> str:
        page = await person.call("GET", path, params={"pageSize": "1", **query})
        return str(page.json()["nextPageToken"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shelf(mesh: Mesh) -> AsyncIterator[Shelf]:
    async with mesh.client() as client:
        ann, ben = [await sign_up(client, name) for name in ("ann", "ben")]
        others = [await sign_up(client, f"other{n}") for n in range(2)]
        shunned = [await sign_up(client, f"shunned{n}") for n in range(2)]
        posts = [await ann.post(f"number {n}") for n in range(3)]
        for other in others:
            await ann.follow(other)
            await other.follow(ann)
            await ben.follow(other)
            await ann.call("PUT", f"/users/me/mutes/{other.user_id}")
            await other.call("PUT", f"/posts/{posts[0]}/like")
        for text in ("one", "two"):
            comment = {"text": text}
            await ann.call("POST", f"/posts/{posts[0]}/comments", json=comment)
        for other in shunned:
            await ann.call("PUT", f"/users/me/blocks/{other.user_id}")
        await ann.call("PATCH", "/users/me", json={"isPrivate": True})
        for name in ("late", "later"):
            await (await sign_up(client, name)).follow(ann)
        yield Shelf(ann, ben, posts[0])


def forged(token: str) -> Iterator[str]:
    """The token with one bit changed in each byte, cut short, and made long."""
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << at % 8
        yield base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
    for length in (1, 2, len(token) // 2, len(token) - 1):
        yield token[:length]
    yield from (token + token, token + "AAAA", token + "A" * (1024 - len(token)))
    yield from ("x", "=", "%", "A" * 1024, "'; SELECT 1 --", "\u00e9", "..", "0")


async def test_every_list_is_here(shelf: Shelf) -> None:
    """A list that joins the contract joins this test."""
    paged = {
        route.method.name
        for route in build(packaged()).all
        if "pageToken" in route.binding.parameters
    }

    assert set(shelf.lists()) == paged


async def test_a_changed_token_is_refused_in_one_way(shelf: Shelf) -> None:
    """Every byte of it counts, and no answer tells which one was wrong."""
    answers: set[bytes] = set()
    for path, query in shelf.lists().values():
        token = await shelf.token(shelf.ann, path, query)
        for bad in forged(token):
            answer = await page(shelf.ann, path, query, bad)
            assert refusal(answer) == REFUSED, (path, bad)
            answers.add(without_request_id(answer))

    assert len(answers) == 1


async def test_a_token_of_somebody_or_something_else_is_refused(shelf: Shelf) -> None:
    """Another reader's, another list's, another person's list, another order."""
    ann, ben, lists = shelf.ann, shelf.ben, shelf.lists()
    tokens = {
        name: await shelf.token(ann, path, query)
        for name, (path, query) in lists.items()
    }
    answers = [
        await page(ann, *lists[here], tokens[there])
        for here in lists
        for there in tokens
        if here != there
    ]
    for name in ("ListFollowing", "GetHomeFeed"):
        path, query = lists[name]
        own = path.replace(ann.user_id, ben.user_id)
        theirs = await shelf.token(ben, own, query) if name == "ListFollowing" else ""
        answers.append(await page(ann, path, query, theirs or tokens["ListLikes"]))
        answers.append(await page(ben, own, query, tokens[name]))
    answers.append(
        await page(ann, "/feed", {"order": "ORDER_RANKED"}, tokens["GetHomeFeed"])
    )

    assert {refusal(answer) for answer in answers} == {REFUSED}
    assert len({without_request_id(answer) for answer in answers}) == 1


async def test_a_token_above_its_limit_is_refused(shelf: Shelf) -> None:
    """By the rule of the field, before anything looks into it."""
    for path, query in shelf.lists().values():
        answer = await page(shelf.ann, path, query, "A" * 1025)

        assert refusal(answer) == (400, "VALIDATION_FAILED")


async def test_the_token_as_it_is_goes_on(shelf: Shelf) -> None:
    """With another page size too: what is refused above is what was changed."""
    for path, query in shelf.lists().values():
        token = await shelf.token(shelf.ann, path, query)
        answer = await page(shelf.ann, path, {**query, "pageSize": "7"}, token)

        assert answer.status_code == 200, answer.text


async def page(
    person: Person, path: str, query: dict[str, str], token: str
) -> httpx.Response:
    return await person.client.get(
        f"/v1{path}", params={**query, "pageToken": token}, headers=person.headers
    )
