"""Who sees what, on every path, from the next read; and what refusals tell (T2, T3).

The table is kept by hand, apart from the code that decides.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from tests.support.mesh import Mesh
from tests.support.people import Person, sign_up
from tests.support.refusals import refusal, without_request_id

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = str(2**62)
VISIBILITIES = {
    "P": "VISIBILITY_PUBLIC",
    "F": "VISIBILITY_FOLLOWERS",
    "M": "VISIBILITY_FRIENDS",
    "-": "VISIBILITY_PRIVATE",
}

# Which posts of Ann each of them sees by their id, and which in their home feed.
# All but the stranger followed her when she posted; those named friends were followed
# back. What the name says came after their feeds had shown her posts.
TABLE = {
    "ann": ("PFM-", "PFM-"),
    "stranger": ("P", ""),
    "follower": ("PF", "PF"),
    "friend": ("PFM", "PFM"),
    "ex_follower": ("P", ""),
    "ex_friend": ("PF", "PF"),
    "muter": ("PF", ""),
    "blocker": ("", ""),
    "blocked": ("", ""),
}
FRIENDS = {"friend", "ex_friend", "blocker", "blocked"}

# Everything that can be asked of a post by its id.
PATHS: list[tuple[str, str, dict[str, str] | None]] = [
    ("GET", "/posts/{id}", None),
    ("GET", "/posts/{id}/likes", None),
    ("GET", "/posts/{id}/comments", None),
    ("PUT", "/posts/{id}/like", {}),
    ("DELETE", "/posts/{id}/like", None),
    ("PUT", "/posts/{id}/share", {}),
    ("DELETE", "/posts/{id}/share", None),
    ("POST", "/posts/{id}/comments", {"text": "hm"}),
    ("POST", "/posts", {"text": "hm", "replyTo": "{id}"}),
    ("POST", "/posts", {"text": "hm", "quoteOf": "{id}"}),
    ("POST", "/posts", {"shareOf": "{id}"}),
    ("PATCH", "/posts/{id}", {"text": "hm"}),
    ("DELETE", "/posts/{id}", None),
]
READS = [path for path in PATHS if path[0] == "GET"]


@dataclass(frozen=True)
class Town:
    """Everyone, by the name in the table, and Ann's posts, by letter."""

    people: dict[str, Person]
    posts: dict[str, str]

    def __getitem__(self, name: str) -> Person:
        return self.people[name]


async def ask(
    person: Person, path: tuple[str, str, dict[str, str] | None], post: str
) -> httpx.Response:
    verb, where, body = path
    filled = body and {name: text.format(id=post) for name, text in body.items()}
    return await person.client.request(
        verb, f"/v1{where.format(id=post)}", json=filled, headers=person.headers
    )


def shown(answer: httpx.Response) -> tuple[object, ...]:
    """All that an answer tells: status, bytes, and headers but those of the call."""
    own = ("date", "x-request-id", "ratelimit-")
    headers = [(k, v) for k, v in answer.headers.items() if not k.startswith(own)]
    return answer.status_code, without_request_id(answer), sorted(headers)


async def in_feed(person: Person, order: str) -> set[str]:
    return set(await person.feed_ids(order=order, pageSize=100))


async def in_author_list(person: Person, author: Person) -> set[str]:
    path = f"/v1/users/{author.user_id}/posts"
    answer = await person.client.get(path, headers=person.headers)
    if answer.status_code == 404:
        assert refusal(answer) == (404, "USER_NOT_FOUND")
        return set()
    return {item["post"]["postId"] for item in answer.json().get("items", [])}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(mesh: Mesh) -> AsyncIterator[Town]:
    """Everyone of the table, as the table says, with feeds that were read before."""
    async with mesh.client() as client:
        people = {name: await sign_up(client, name) for name in TABLE}
        ann = people["ann"]
        for name in set(TABLE) - {"ann", "stranger"}:
            await people[name].follow(ann)
        for name in FRIENDS:
            await ann.follow(people[name])
        posts = {
            letter: await ann.post(f"for {letter}", visibility=name)
            for letter, name in VISIBILITIES.items()
        }
        town = Town(people, posts)
        for name in TABLE:
            await warmed(town, name)

        await town["ex_follower"].call("DELETE", following(ann))
        await ann.call("DELETE", following(town["ex_friend"]))
        await town["muter"].call("PUT", f"/users/me/mutes/{ann.user_id}")
        await town["blocker"].call("PUT", f"/users/me/blocks/{ann.user_id}")
        await ann.call("PUT", f"/users/me/blocks/{town['blocked'].user_id}")
        yield town


async def warmed(town: Town, name: str) -> None:
    """Reads until every cache on the way holds what this person may see so far."""
    person = town[name]
    if name in FRIENDS:
        await person.sees(town.posts["M"])
    elif name != "stranger":
        await person.sees(town.posts["F"])
    await in_feed(person, "ORDER_RANKED")
    await in_author_list(person, town["ann"])
    for post in town.posts.values():
        await ask(person, PATHS[0], post)


def following(person: Person) -> str:
    return f"/users/me/following/{person.user_id}"


@pytest.mark.parametrize("name", TABLE)
async def test_every_path_follows_the_table(town: Town, name: str) -> None:
    """By id, in the author's list, in the feed in both orders."""
    by_id, fed = TABLE[name]
    person, ann = town[name], town["ann"]
    seen = {town.posts[letter] for letter in by_id}

    for path in READS:
        answers = {post: await ask(person, path, post) for post in town.posts.values()}
        assert {p for p, answer in answers.items() if answer.is_success} == seen, path
    assert await in_author_list(person, ann) == seen
    for order in ("ORDER_LATEST", "ORDER_RANKED"):
        feed = await in_feed(person, order)
        assert feed == {town.posts[letter] for letter in fed}, order


@pytest.mark.parametrize("name", [name for name in TABLE if name != "ann"])
async def test_hidden_looks_like_missing(town: Town, name: str) -> None:
    """The same bytes and headers for every way to ask, and nothing is done (T3)."""
    hidden = set(VISIBILITIES) - set(TABLE[name][0])
    person = town[name]
    for path in PATHS:
        nothing = shown(await ask(person, path, NOBODY))
        assert nothing[0] == 404, path
        for letter in sorted(hidden):
            assert shown(await ask(person, path, town.posts[letter])) == nothing, path


async def test_without_an_account_only_public_posts_are_read(
    mesh: Mesh, town: Town
) -> None:
    """What is not public looks like nothing at all."""
    async with mesh.client() as client:
        nothing = shown(await client.get(f"/v1/posts/{NOBODY}"))
        answers = {
            letter: await client.get(f"/v1/posts/{post}")
            for letter, post in town.posts.items()
        }

    assert answers.pop("P").status_code == 200
    assert all(shown(answer) == nothing for answer in answers.values())


async def test_a_blocked_person_finds_no_author(town: Town) -> None:
    """Profile, lists, posts: as those of somebody who does not exist."""
    ann = town["ann"].user_id
    person = town["blocked"]
    for path in ("/users/{id}/posts", "/users/{id}/followers", "/users/{id}"):
        theirs, nobodys = [
            await person.client.get(
                f"/v1{path.format(id=user)}", headers=person.headers
            )
            for user in (ann, NOBODY)
        ]
        assert shown(theirs) == shown(nobodys), path
        assert theirs.status_code == 404


async def test_a_share_or_quote_is_no_side_door(mesh: Mesh) -> None:
    """Whoever may not see the original does not see it through somebody else."""
    async with mesh.client() as client:
        ann, eve, reader = [
            await sign_up(client, name) for name in ("ann", "eve", "reader")
        ]
        await reader.follow(eve)
        original = await ann.post("the original")
        share = (await eve.call("PUT", f"/posts/{original}/share", json={})).json()
        share_id = share["post"]["postId"]
        quote = await eve.post("look", quoteOf=original)
        await reader.sees(share_id)
        await ann.call("PUT", f"/users/me/blocks/{reader.user_id}")

        for order in ("ORDER_LATEST", "ORDER_RANKED"):
            answer = await reader.call(
                "GET", "/feed", params={"order": order, "pageSize": 100}
            )
            assert share_id not in answer.text
            assert "the original" not in answer.text
            assert quote in answer.text
        nothing = shown(await ask(reader, PATHS[0], NOBODY))
        for post in (original, share_id):
            assert shown(await ask(reader, PATHS[0], post)) == nothing
        assert "the original" not in (await ask(reader, PATHS[0], quote)).text
        assert share_id not in await in_author_list(reader, eve)


async def test_people_who_are_hidden_are_so_under_other_posts(mesh: Mesh) -> None:
    """Their likes and comments are left out for those who may not see them."""
    async with mesh.client() as client:
        ann, ben, cat = [await sign_up(client, name) for name in ("ann", "ben", "cat")]
        post = await ann.post("for everybody")
        await ben.call("PUT", f"/posts/{post}/like")
        await ben.call("POST", f"/posts/{post}/comments", json={"text": "by ben"})
        likes, comments = [f"/posts/{post}/{what}" for what in ("likes", "comments")]
        assert ben.user_id in (await cat.call("GET", likes)).text

        await ben.call("PUT", f"/users/me/blocks/{cat.user_id}")

        assert ben.user_id not in (await cat.call("GET", likes)).text
        assert "by ben" not in (await cat.call("GET", comments)).text
        assert "by ben" in (await ann.call("GET", comments)).text


async def test_a_private_account_shows_nothing_to_strangers(mesh: Mesh) -> None:
    """From the next read, also to those whose request waits; followers go on."""
    async with mesh.client() as client:
        ann, fan, stranger, asking = [
            await sign_up(client, name) for name in ("ann", "fan", "stranger", "asking")
        ]
        await fan.follow(ann)
        post = await ann.post("soon for fewer")
        await fan.sees(post)
        assert (await ask(stranger, PATHS[0], post)).is_success

        await ann.call("PATCH", "/users/me", json={"isPrivate": True})
        assert not (await ask(stranger, PATHS[0], post)).is_success
        await asking.follow(ann)

        for person in (stranger, asking):
            for path in PATHS[:-2]:
                nothing = shown(await ask(person, path, NOBODY))
                assert shown(await ask(person, path, post)) == nothing, path
            assert post not in await in_author_list(person, ann)
            assert post not in await in_feed(person, "ORDER_LATEST")
        assert post in await in_feed(fan, "ORDER_LATEST")
        assert (await ask(fan, PATHS[0], post)).is_success


CHANGES: dict[str, tuple[str, str, dict[str, object] | None]] = {
    "deleted": ("DELETE", "/posts/{post}", None),
    "narrowed": ("PATCH", "/posts/{post}", {"visibility": "VISIBILITY_PRIVATE"}),
    "account gone": ("DELETE", "/users/me", None),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_its_author_takes_back_is_gone_at_once(
    mesh: Mesh, change: str
) -> None:
    """From the next read: by id, in lists, in feeds of both orders, in shares."""
    verb, path, body = CHANGES[change]
    async with mesh.client() as client:
        ann, fan, eve = [await sign_up(client, name) for name in ("ann", "fan", "eve")]
        await asyncio.gather(fan.follow(ann), fan.follow(eve))
        post = await ann.post("not for long")
        share = (await eve.call("PUT", f"/posts/{post}/share", json={})).json()
        share_id = share["post"]["postId"]
        await fan.sees(share_id)
        await fan.sees(post)
        assert (await ask(fan, PATHS[0], post)).is_success

        await ann.call(verb, path.format(post=post), json=body)

        assert {post, share_id}.isdisjoint(await in_feed(fan, "ORDER_LATEST"))
        assert {post, share_id}.isdisjoint(await in_feed(fan, "ORDER_RANKED"))
        nothing = shown(await ask(fan, PATHS[0], NOBODY))
        for gone in (post, share_id):
            assert shown(await ask(fan, PATHS[0], gone)) == nothing
        assert post not in await in_author_list(fan, ann)
        assert share_id not in await in_author_list(fan, eve)
