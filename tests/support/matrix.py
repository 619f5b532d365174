"""The scene of the path matrix: every author, every reader, every content at once."""

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from feedmesh.graph.v1 import graph_pb2

from chassis.testing import eventually

from meshctl.connection import Connection
from tests.support.people import Person, sign_up
from tests.support.truth import AUTHORS, BY_EVE, NEWER, RELATIONS, WRITTEN, row

# Follow their author first, whatever comes of it.
BEGIN_AS_FOLLOWERS = (
    *("mutual", "follower", "refollower", "ex_mutual", "muter", "ex_follower"),
    *("blocked", "blocker", "both", "suspended"),
)
BEGIN_AS_FRIENDS = ("mutual", "ex_mutual", "blocked", "blocker", "both", "suspended")

# With the readers above nobody reaches it; with as many more the celebrity does.
CELEBRITY_THRESHOLD = 20
NOBODY = str(2**62)

VISIBILITIES = {
    **dict.fromkeys("PDNnRp", "VISIBILITY_PUBLIC"),
    **dict.fromkeys("F@f", "VISIBILITY_FOLLOWERS"),
    "M": "VISIBILITY_FRIENDS",
    "X": "VISIBILITY_PRIVATE",
}
_numbers = itertools.count()

# A content of one author: its letter in the table, below the kind of the author.
Cell = tuple[str, str]


@dataclass(frozen=True)
class Viewer:
    """Somebody who stands in one relation to these authors."""

    relation: str
    authors: tuple[str, ...]
    person: Person
    # Texts that must be in no answer, once it is so, and those that were.
    forbidden: set[str] = field(default_factory=set)
    leaked: set[str] = field(default_factory=set)

    async def ask(
        self,
        path: str,
        *,
        verb: str = "GET",
        query: Mapping[str, str | int] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """An answer; asked for again while a part of the mesh is too slow for it."""
        own = self.person.headers if self.person.token else {}

        async def answered() -> httpx.Response:
            answer = await self.person.client.request(
                verb,
                f"/v1{path}",
                params=query,
                json=json,
                headers={**own, **(headers or {})},
            )
            assert answer.status_code < 500, answer.text
            return answer

        answer = await eventually(answered)
        self.leaked.update(text for text in self.forbidden if text in answer.text)
        return answer


class Scene:
    """Authors and readers of one way in which the change comes."""

    def __init__(self, *, client: httpx.AsyncClient, connection: Connection) -> None:
        self._client = client
        self._connection = connection
        self._number = next(_numbers)
        self.authors: dict[str, Person] = {}
        self.eve = Person(client, "", "", "")
        self.viewers: list[Viewer] = []
        self.posts: dict[Cell, str] = {}
        # What Eve wrote under which everybody is found.
        self.stage = ""

    async def gather(self) -> None:
        """Everybody signs up; Eve and the authors are friends."""
        self.authors = await self._sign_up(AUTHORS)
        people = await self._sign_up(RELATIONS)
        (self.eve,) = (await self._sign_up(("eve",))).values()
        issued = await self._connection.graph.IssueToken(
            graph_pb2.IssueTokenRequest(handle=people["admin"].handle, admin=True)
        )
        people["admin"] = Person(
            self._client, "", people["admin"].user_id, issued.access_token
        )
        self.admin = people["admin"]
        people["anonymous"] = Person(self._client, "", "0", "")
        self.viewers = [
            *(Viewer("self", (kind,), self.authors[kind]) for kind in AUTHORS),
            *(Viewer(r, AUTHORS, people[r]) for r in RELATIONS if r != "self"),
        ]
        for author in self.authors.values():
            await asyncio.gather(author.follow(self.eve), self.eve.follow(author))
        self.stage = await self.eve.post("stage")
        comments = f"/posts/{self.stage}/comments"
        for kind, author in self.authors.items():
            await author.call("PUT", f"/posts/{self.stage}/like")
            await author.call("POST", comments, json={"text": f"by {kind}"})
        await self._make_celebrity()

    async def _sign_up(self, names: Sequence[str]) -> dict[str, Person]:
        people = await asyncio.gather(*(sign_up(self._client, n) for n in names))
        return dict(zip(names, people, strict=True))

    async def _make_celebrity(self) -> None:
        handles = [f"crowd_{self._number}_{n}" for n in range(CELEBRITY_THRESHOLD)]
        crowd = await self._connection.graph.ImportUsers(
            graph_pb2.ImportUsersRequest(
                users=[graph_pb2.ImportedUser(handle=handle) for handle in handles]
            )
        )
        star = int(self.authors["celebrity"].user_id)
        await self._connection.graph.ImportFollows(
            graph_pb2.ImportFollowsRequest(
                follower_ids=crowd.user_ids, followee_ids=[star] * len(handles)
            )
        )

    async def tie(self) -> None:
        """As everybody stands before the change."""
        await asyncio.gather(*(self._tie(viewer) for viewer in self.readers()))

    async def _tie(self, viewer: Viewer) -> None:
        await viewer.person.follow(self.eve)
        for author in self.authors.values():
            if viewer.relation in BEGIN_AS_FOLLOWERS:
                await viewer.person.follow(author)
            if viewer.relation in BEGIN_AS_FRIENDS:
                await author.follow(viewer.person)

    def readers(self) -> list[Viewer]:
        """Those who have an account and are not the authors themselves."""
        away = ("self", "anonymous")
        return [one for one in self.viewers if one.relation not in away]

    async def write(self) -> None:
        """What the authors write, and what Eve makes of it."""
        await asyncio.gather(*(self._write(kind, WRITTEN) for kind in AUTHORS))
        await asyncio.gather(*(self._echo(kind) for kind in AUTHORS))

    async def write_newer(self) -> None:
        """A little more; not by the celebrity, whose followers may hear of it late."""
        kinds = [kind for kind in AUTHORS if kind != "celebrity"]
        await asyncio.gather(*(self._write(kind, NEWER) for kind in kinds))

    async def _write(self, kind: str, letters: str) -> None:
        for letter in letters:
            fields = {"visibility": VISIBILITIES[letter]}
            if letter == "R":
                fields["replyTo"] = self.posts[kind, "X"]
            text = self.text((kind, letter))
            if letter == "@":
                text += " " + " ".join(f"@{v.person.handle}" for v in self.readers())
            self.posts[kind, letter] = await self.authors[kind].post(
                text[:450], **fields
            )

    async def _echo(self, kind: str) -> None:
        """Shares, a quote and a reply by Eve; she cannot share what is private."""
        answer = self.posts[kind, "M"]
        self.posts[kind, "r"] = await self.eve.post("hear, hear", replyTo=answer)
        for letter, original in zip("SdstQ", "PDNnP", strict=True):
            name = "quoteOf" if letter == "Q" else "shareOf"
            body = {name: self.posts[kind, original]}
            if letter == "Q":
                body["text"] = "well said"
            answer_ = await self._client.post(
                "/v1/posts", json=body, headers=self.eve.headers
            )
            if answer_.is_success:
                self.posts[kind, letter] = answer_.json()["post"]["postId"]

    async def narrow(self) -> None:
        """What authors take back of what they wrote."""
        for kind, author in self.authors.items():
            await author.call("DELETE", f"/posts/{self.posts[kind, 'D']}")
            for letter, name in (("N", "PRIVATE"), ("n", "FRIENDS")):
                body = {"visibility": f"VISIBILITY_{name}"}
                path = f"/posts/{self.posts[kind, letter]}"
                await author.call("PATCH", path, json=body)

    async def close_account(self) -> None:
        """The private author becomes private."""
        private = self.authors["private"]
        await private.call("PATCH", "/users/me", json={"isPrivate": True})

    async def change(self) -> None:
        """Everybody gets into the relation that their name says."""
        await asyncio.gather(*(self._change(viewer) for viewer in self.readers()))

    async def _change(self, viewer: Viewer) -> None:
        me = viewer.person
        for author in self.authors.values():
            for who, verb, path in CHANGES.get(viewer.relation, ()):
                actor, other = (me, author) if who == "viewer" else (author, me)
                await actor.call(verb, path.format(other.user_id))
            if viewer.relation == "both":
                # Who is blocked finds nobody to block: both have tried.
                block = BLOCK.format(author.user_id)
                await me.call("PUT", block, status=404)
        if viewer.relation == "suspended":
            await self._suspend(me)

    async def end_accounts(self) -> None:
        """One author is suspended, one leaves."""
        await self._suspend(self.authors["suspended"])
        await self.authors["deleted"].call("DELETE", "/users/me")

    async def _suspend(self, person: Person) -> None:
        await self.admin.call("POST", f"/users/{person.user_id}:suspend", json={})

    def forbid(self) -> None:
        """From now on no answer may hold a text that its reader may not see."""
        for viewer in self.viewers:
            by_id = self.expected(viewer, 0)
            viewer.forbidden.update(
                self.text(cell)
                for cell in self.posts
                if cell[0] in viewer.authors
                and cell[1] in WRITTEN + NEWER
                and cell not in by_id
            )

    def text(self, cell: Cell) -> str:
        kind, letter = cell
        return f"({self._number} {kind} writes {letter})"

    def expected(self, viewer: Viewer, column: int) -> set[Cell]:
        """What the table says of all that there is: 0 by id, 1 in the home feed."""
        return {
            (kind, letter)
            for kind in viewer.authors
            for letter in row(kind, viewer.relation)[column]
            if (kind, "Q" if letter == "q" else letter) in self.posts
        }

    def cells(self, viewer: Viewer, ids: Iterable[str]) -> set[Cell]:
        """The contents of these ids, as far as they are in question for the viewer."""
        wanted = set(ids)
        return {
            cell
            for cell, post_id in self.posts.items()
            if post_id in wanted and cell[0] in viewer.authors
        }


FOLLOW = "/users/me/following/{}"
BLOCK = "/users/me/blocks/{}"
# Who does what to the other.
CHANGES = {
    "late": (("viewer", "PUT", FOLLOW),),
    "pending": (),
    "refollower": (("viewer", "DELETE", FOLLOW), ("viewer", "PUT", FOLLOW)),
    "ex_mutual": (("author", "DELETE", FOLLOW),),
    "ex_follower": (("viewer", "DELETE", FOLLOW),),
    "muter": (("viewer", "PUT", "/users/me/mutes/{}"),),
    "blocked": (("author", "PUT", BLOCK),),
    "blocker": (("viewer", "PUT", BLOCK),),
    "both": (("author", "PUT", BLOCK),),
}
LETTERS = WRITTEN + BY_EVE + NEWER
