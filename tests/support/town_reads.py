"""A few people who read, and what must be in what they are given.

Acts come one after the other, so the model knows exactly what a read that begins now
may show. What takes time is fan-out alone: a post has to be there once it has come to
rest, and stays from then on.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from chassis.testing import eventually

from tests.support.caches import BACK_SECONDS
from tests.support.mesh import Mesh
from tests.support.people import Json, Person, sign_up
from tests.support.reference import Reference

LATEST, RANKED = "ORDER_LATEST", "ORDER_RANKED"
WHOLE = 100
# New posts are counted up to this.
MOST_NEW = 100
# From the cache, which notes tops too.
HOT = "SERVED_FROM_HOT"
# The last page again, for who refreshes too often.
AGAIN = "SERVED_FROM_CACHED_REFRESH"
COMPLETE, WITHHELD = "END_REASON_COMPLETE", "END_REASON_WITHHELD"


@dataclass
class Session:
    """Pages that one person reads one after the other."""

    viewer: str
    query: dict[str, object]
    began: int
    """Last post there was when the first page was read."""

    top: tuple[int, int]
    """Newest post on the first page, and newest that there was."""

    expects: set[int]
    """What has to turn up until the end."""

    token: str = ""
    seen: list[int] = field(default_factory=list)


class Readers:
    """People of one town, and what they must find."""

    def __init__(self, *, mesh: Mesh, client: httpx.AsyncClient) -> None:
        self._mesh = mesh
        self._client = client
        self._people: dict[str, Person] = {}
        # The newest post of the last first page, as in Session.top, where it is known.
        self._tops: dict[str, tuple[int, int]] = {}
        # What was certain at the last first page in each order.
        self._first: dict[tuple[str, str], set[int]] = {}
        self.model = Reference(())
        self.sessions: list[Session] = []
        self.trail: list[str] = []

    async def meet(self, *names: str) -> None:
        """New people, under names of this town."""

        async def joined(name: str) -> Person:
            # Signing up is refused while the cache is away.
            return await eventually(
                lambda: sign_up(self._client, name), timeout=BACK_SECONDS
            )

        people = await asyncio.gather(*map(joined, names))
        self._people = dict(zip(names, people, strict=True))
        self.model = Reference(names)

    async def open(
        self, viewer: str, order: str, size: int, *, refresh: bool = False
    ) -> Session:
        """A first page, and all that can be said of it."""
        query: dict[str, object] = {"order": order, "pageSize": size}
        if refresh:
            query["refresh"] = "true"
        certain, feed = self.model.certain(viewer), self.model.feed(viewer)
        page = await self._page(viewer, query)
        ids = ids_of(page)
        began = max(self.model.posts, default=0)
        # What was hidden then, and is not now, may count as new or not.
        top = (max(ids, default=0), began)
        if page["servedFrom"] == AGAIN:
            # An older page, without what is hidden since.
            certain = self._first.get((viewer, order), set()) & feed
        else:
            self._check_count(viewer, page, self._tops.get(viewer))
            self._first[viewer, order] = certain
            # What was at the top once is not new when it comes back.
            _, before = self._tops.get(viewer) or top
            if page["servedFrom"] == HOT:
                self._tops[viewer] = top[0], max(top[1], before)
            else:
                # With the cache away the top may not be noted.
                self._tops.pop(viewer, None)
        session = Session(viewer, query, began, top, certain)
        self._take(session, page)
        if order == LATEST and page["servedFrom"] != AGAIN:
            bottom = ids[-1] if session.token else 0
            missing = {post for post in certain if post >= bottom} - set(ids)
            assert not missing, f"{viewer}: not on the first page: {missing}"
        return session

    async def go_on(self, session: Session) -> None:
        """The next page of a session."""
        query = session.query | {"pageToken": session.token}
        page = await self._page(session.viewer, query)
        later = [post_id for post_id in ids_of(page) if post_id > session.began]
        assert not later, f"posts of later came into a session: {later}"
        self._check_count(session.viewer, page, session.top)
        self._take(session, page)

    async def read_out(self, session: Session) -> list[int]:
        """The rest of a session; all it showed."""
        while session.token:
            await self.go_on(session)
        return session.seen

    async def crawl(self, viewer: str, order: str, size: int = WHOLE) -> list[int]:
        """A whole feed."""
        return await self.read_out(await self.open(viewer, order, size))

    async def count(self, viewer: str) -> None:
        """What is new, which must not tell of what is hidden."""
        page = await self._read(viewer, "/feed:newCount")
        self._check_count(viewer, page, self._tops.get(viewer))

    async def look(self, viewer: str, post_id: int) -> None:
        """One post by its id, and who likes it."""
        may_see = self.model.may_see(viewer, post_id)
        for path in (f"/posts/{post_id}", f"/posts/{post_id}/likes"):
            answer = await self._ask(viewer, "GET", path)
            assert answer.is_success == may_see, (
                f"{viewer} {path}: {answer.status_code}, should see: {may_see}"
            )
            if path.endswith("likes") and may_see:
                shown = set(answer.json().get("userIds", []))
                likers = self.model.likers(viewer, post_id)
                assert shown == {self._people[name].user_id for name in likers}

    async def list_of(self, viewer: str, author: str) -> None:
        """The posts of one author."""
        path = f"/users/{self._people[author].user_id}/posts"
        answer = await self._ask(viewer, "GET", f"{path}?pageSize={WHOLE}")
        shown = ids_of(answer.json()) if answer.is_success else []
        should = self.model.author_list(viewer, author)[:WHOLE]
        assert shown == should, f"{viewer} lists {author}: {shown}, not {should}"

    async def _ask(
        self,
        who: str,
        verb: str,
        path: str,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, asked for again while a part of the mesh is away."""
        sent = {**self._people[who].headers, **(headers or {})}

        async def answered() -> httpx.Response:
            answer = await self._client.request(
                verb,
                f"/v1{path}",
                json=body,
                headers=sent,
            )
            assert answer.status_code < 500, answer.text
            return answer

        return await eventually(answered, timeout=BACK_SECONDS)

    async def _read(
        self, who: str, path: str, query: Mapping[str, object] | None = None
    ) -> Json:
        where = str(httpx.URL(path, params=query or {}))
        answer = await self._ask(who, "GET", where)
        assert answer.is_success, f"{who} {path} {query}: {answer.text}"
        return dict(answer.json())

    async def _page(self, viewer: str, query: Mapping[str, object]) -> Json:
        """A page that is as a page has to be, and shows what may be seen."""

        async def whole() -> Json:
            page = await self._read(viewer, "/feed", query)
            # Relations could not be read in time, and the page says so.
            assert page.get("endReason") != WITHHELD
            return page

        page = await eventually(whole, timeout=BACK_SECONDS)
        items = page.get("items", [])
        born = [self.model.born.get(post_id) for post_id in ids_of(page)]
        asked = {key: str(value)[:12] for key, value in query.items()}
        self._note(f"page {viewer} {asked} -> {page['servedFrom']} {born}")
        is_end = not page.get("nextPageToken")
        assert is_end == (page.get("endReason") == COMPLETE), page
        assert len(items) <= int(str(query["pageSize"])), "more than was asked for"
        is_full = len(items) == query["pageSize"] or page["servedFrom"] == AGAIN
        assert is_end or is_full, f"{len(items)} items are no page"
        for item in items:
            self._check_item(viewer, item)
        return page

    def _check_item(self, viewer: str, item: Json) -> None:
        post_id = int(item["post"]["postId"])
        assert self.model.in_feed(viewer, post_id), f"{viewer} must not see {post_id}"
        post = self.model.posts[post_id]
        assert item["post"]["visibility"] == post.visibility, f"{post_id} is outdated"
        shown = "original" in item
        assert shown == self.model.shows_original(viewer, post_id), (
            f"{viewer} sees the original of {post_id}: {shown}"
        )

    def _take(self, session: Session, page: Json) -> None:
        ids = ids_of(page)
        again = set(ids) & set(session.seen)
        assert not again, f"again in a session: {again}"
        assert len(set(ids)) == len(ids), f"twice on a page: {ids}"
        session.seen += ids
        if session.query["order"] == LATEST:
            assert session.seen == sorted(session.seen, reverse=True)
        session.token = page.get("nextPageToken", "")
        if not session.token:
            missing = session.expects - set(session.seen)
            assert not missing, f"{session.viewer}: the session never showed {missing}"

    def _check_count(
        self, viewer: str, page: Json, top: tuple[int, int] | None
    ) -> None:
        """As many as are certain, and no more than may be seen."""
        shown, newest = top or (0, 0)
        count = page.get("newPostCount", 0)
        most = sum(post_id > shown for post_id in self.model.feed(viewer))
        assert count <= min(most, MOST_NEW), f"{viewer}: {count} new of {most}"
        if top is not None:
            least = sum(post_id > newest for post_id in self.model.certain(viewer))
            assert count >= min(least, MOST_NEW), f"{viewer}: {count} new of {least}"

    def _note(self, line: str) -> None:
        self.trail.append(line)


def ids_of(page: Json) -> list[int]:
    return [int(item["post"]["postId"]) for item in page.get("items", [])]
