"""Every way that leads to a post, and what a reader finds there.

A path is read for one viewer and answers the cells it shows. What it does not show must
look like what does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from tests.support.matrix import LETTERS, NOBODY, Cell, Scene, Viewer
from tests.support.people import Json
from tests.support.truth import AUTHORS, NEWER, is_listed, is_named, is_profiled

LATEST, RANKED = "ORDER_LATEST", "ORDER_RANKED"
# Reading everything by every path takes long: of what is behind a post, these will do.
SOME = ("open", "private")
REFUSED = (401, 403)


@dataclass(frozen=True)
class Path:
    """A way to contents, and what the table says of it."""

    read: Callable[[Scene, Viewer], Awaitable[set[Cell]]]
    expected: Callable[[Scene, Viewer], set[Cell]]
    authors: tuple[str, ...] = AUTHORS
    letters: str = LETTERS + "q"

    def domain(self, cells: set[Cell]) -> set[Cell]:
        return {c for c in cells if c[0] in self.authors and c[1] in self.letters}


def by_id(scene: Scene, viewer: Viewer) -> set[Cell]:
    return scene.expected(viewer, 0)


def in_feed(scene: Scene, viewer: Viewer) -> set[Cell]:
    return scene.expected(viewer, 1)


def people(rule: Callable[[str, str], bool]) -> Callable[[Scene, Viewer], set[Cell]]:
    """Authors themselves as contents, by a rule of the table."""

    def expected(_: Scene, viewer: Viewer) -> set[Cell]:
        return {(k, "*") for k in viewer.authors if rule(k, viewer.relation)}

    return expected


def shown(answer: httpx.Response) -> tuple[object, ...]:
    """All that an answer tells: status, bytes, and headers but those of the call."""
    own = ("date", "x-request-id", "ratelimit-")
    headers = [(k, v) for k, v in answer.headers.items() if not k.startswith(own)]
    request = answer.headers["x-request-id"].encode()
    return answer.status_code, answer.content.replace(request, b""), sorted(headers)


def by_post(path: str, authors: tuple[str, ...] = AUTHORS) -> Path:
    """Something below the id of a post. What is hidden answers as what is missing."""

    async def read(scene: Scene, viewer: Viewer) -> set[Cell]:
        nothing = shown(await viewer.ask(path.format(NOBODY)))
        found = set()
        for cell, post_id in scene.posts.items():
            if cell[0] not in viewer.authors or cell[0] not in authors:
                continue
            answer = await viewer.ask(path.format(post_id))
            if answer.is_success:
                found.add(cell)
            else:
                assert shown(answer) == nothing, f"{viewer.relation} {cell} {path}"
        return found

    def expected(scene: Scene, viewer: Viewer) -> set[Cell]:
        needs_account = path.count("/") > 2
        if viewer.relation == "anonymous" and needs_account:
            return set()
        return by_id(scene, viewer)

    return Path(read, expected, authors, LETTERS)


async def acts(scene: Scene, viewer: Viewer) -> set[Cell]:
    """Writes about a post that is hidden: refused as for one that is missing."""
    found = by_id(scene, viewer)
    mine = {c for c in scene.posts if c[0] in viewer.authors and c[0] in SOME}
    hidden = sorted(c for c in mine - found if c[1] in "PFMXDS")
    for write in WRITES:
        nothing = await act(viewer, write, NOBODY)
        for cell in hidden:
            if await act(viewer, write, scene.posts[cell]) != nothing:
                found.add(cell)
    return found


Write = tuple[str, str, dict[str, str]]


async def act(viewer: Viewer, write: Write, post_id: str) -> tuple[object, ...]:
    verb, path, body = write
    json = {key: value.format(post_id) for key, value in body.items()}
    return shown(await viewer.ask(path.format(post_id), verb=verb, json=json))


WRITES: list[Write] = [
    ("PUT", "/posts/{}/like", {}),
    ("PUT", "/posts/{}/share", {}),
    ("POST", "/posts/{}/comments", {"text": "hm"}),
    ("POST", "/posts", {"text": "hm", "quoteOf": "{}"}),
]


async def author_lists(scene: Scene, viewer: Viewer) -> set[Cell]:
    """The posts of each author, and those of Eve."""
    nothing = shown(await viewer.ask(f"/users/{NOBODY}/posts"))
    ids: list[str] = []
    for person in (*(scene.authors[kind] for kind in viewer.authors), scene.eve):
        path, token = f"/users/{person.user_id}/posts", ""
        while True:
            answer = await viewer.ask(path, query={"pageSize": 100, "pageToken": token})
            if not answer.is_success:
                assert shown(answer) == nothing, f"{viewer.relation} {path}"
                break
            ids += ids_of(answer.json())
            token = answer.json().get("nextPageToken", "")
            if not token:
                break
    return scene.cells(viewer, ids)


def signed_in(
    column: Callable[[Scene, Viewer], set[Cell]],
) -> Callable[[Scene, Viewer], set[Cell]]:
    """Nothing without an account."""

    def expected(scene: Scene, viewer: Viewer) -> set[Cell]:
        return set() if viewer.relation == "anonymous" else column(scene, viewer)

    return expected


async def pages(
    scene: Scene, viewer: Viewer, order: str, *, token: str = "", size: int = 100
) -> set[Cell]:
    """All pages of a home feed, from the first or from a token on."""
    found: list[Json] = []
    while True:
        query: dict[str, str | int] = {"order": order, "pageSize": size}
        answer = await viewer.ask("/feed", query=query | {"pageToken": token})
        if answer.status_code in REFUSED:
            return set()
        assert answer.is_success, answer.text
        found += answer.json().get("items", [])
        token = answer.json().get("nextPageToken", "")
        if not token:
            return shown_by(scene, viewer, found)


def shown_by(scene: Scene, viewer: Viewer, items: list[Json]) -> set[Cell]:
    """The cells of feed items, none of which may be there twice."""
    ids = [item["post"]["postId"] for item in items]
    assert len(ids) == len(set(ids)), f"{viewer.relation} is shown a post twice"
    quoting = [item["post"]["postId"] for item in items if "original" in item]
    quotes = scene.cells(viewer, quoting)
    shown_originals = {(kind, "q") for kind, letter in quotes if letter == "Q"}
    return scene.cells(viewer, ids) | shown_originals


def feed(order: str) -> Path:
    async def read(scene: Scene, viewer: Viewer) -> set[Cell]:
        return await pages(scene, viewer, order)

    return Path(read, in_feed)


async def named(scene: Scene, viewer: Viewer) -> set[Cell]:
    """Authors in lists of people; those in some lists only would be told apart."""
    stage, eve = scene.stage, scene.eve.user_id
    found: list[set[Cell]] = []
    for path in (
        f"/users/{eve}/followers",
        f"/users/{eve}/following",
        f"/posts/{stage}/likes",
        f"/posts/{stage}/comments",
    ):
        answer = await viewer.ask(path, query={"pageSize": 100})
        ids = set(re.findall(r"\d{15,}", answer.text)) if answer.is_success else set()
        found.append(
            {
                (kind, "*")
                for kind in viewer.authors
                if scene.authors[kind].user_id in ids
            }
        )
    assert found == [found[0]] * len(found), f"{viewer.relation}: {found}"
    return found[0]


async def profiles(scene: Scene, viewer: Viewer) -> set[Cell]:
    """By id, by handle and in a batch."""
    found = set()
    for kind in viewer.authors:
        user = scene.authors[kind]
        batch = await viewer.ask("/users:batchGet", query={"userIds": user.user_id})
        answers = [
            (await viewer.ask(f"/users/{user.user_id}")).is_success,
            (
                await viewer.ask("/users:lookup", query={"handle": user.handle})
            ).is_success,
            user.user_id in batch.text and batch.is_success,
        ]
        assert len(set(answers)) == 1, f"{viewer.relation} {kind}: {answers}"
        if all(answers):
            found.add((kind, "*"))
    return found


async def lists(scene: Scene, viewer: Viewer) -> set[Cell]:
    """Followers and followees of the authors."""
    found = set()
    for kind in viewer.authors:
        for name in ("followers", "following"):
            nothing = shown(await viewer.ask(f"/users/{NOBODY}/{name}"))
            user = scene.authors[kind].user_id
            answer = await viewer.ask(f"/users/{user}/{name}")
            if answer.is_success:
                found.add((kind, "*"))
            else:
                assert shown(answer) == nothing, f"{viewer.relation} {kind} {name}"
    return found


def newer(scene: Scene, viewer: Viewer) -> set[Cell]:
    return {cell for cell in in_feed(scene, viewer) if cell[1] in NEWER}


async def new_count(scene: Scene, viewer: Viewer) -> set[Cell]:
    """As many as are shown, which have to be the right ones in the next page."""
    answer = await viewer.ask("/feed:newCount")
    if answer.status_code in REFUSED:
        return set()
    assert answer.is_success, answer.text
    count = answer.json().get("newPostCount", 0)
    should = newer(scene, viewer)
    # A number is all there is: another one than theirs is wrong in some cell.
    return should if count == len(should) else {("open", "p" if count else "")}


async def explained(scene: Scene, viewer: Viewer) -> set[Cell]:
    """What an operator is told of the reader's feed."""
    admin = next(one for one in scene.viewers if one.relation == "admin")
    found = set()
    for cell, post_id in scene.posts.items():
        if cell[0] not in viewer.authors or cell[0] not in SOME:
            continue
        path = f"/admin/feeds/{viewer.person.user_id}/posts/{post_id}:explain"
        answer = await admin.ask(path)
        if answer.is_success and answer.json().get("isInFeed"):
            found.add(cell)
    return found


def ids_of(page: Json) -> list[str]:
    return [item["post"]["postId"] for item in page.get("items", [])]


PATHS = {
    "post by id": by_post("/posts/{}"),
    "some by id": by_post("/posts/{}", SOME),
    "likes": by_post("/posts/{}/likes", ("open",)),
    "comments": by_post("/posts/{}/comments", ("private",)),
    "acts": Path(acts, by_id, SOME, LETTERS),
    "author lists": Path(author_lists, signed_in(by_id), letters=LETTERS),
    "LATEST": feed(LATEST),
    "RANKED": feed(RANKED),
    "names": Path(named, people(is_named), letters="*"),
    "profiles": Path(profiles, people(is_profiled), letters="*"),
    "lists": Path(lists, people(is_listed), letters="*"),
}
