"""A few people whose every act is done twice, to the mesh and to the model."""

import asyncio
import itertools
from collections.abc import Mapping

from tests.support import caches
from tests.support.people import Json
from tests.support.quiet import quiet
from tests.support.reference import PUBLIC, Post
from tests.support.town_reads import LATEST, RANKED, Readers

# Of requests that may be made again: everybody's are apart.
_keys = itertools.count()

EDGES = {
    "follow": ("PUT", "/users/me/following/{}"),
    "unfollow": ("DELETE", "/users/me/following/{}"),
    "approve": ("POST", "/users/me/followRequests/{}:approve"),
    "deny": ("POST", "/users/me/followRequests/{}:deny"),
    "block": ("PUT", "/users/me/blocks/{}"),
    "unblock": ("DELETE", "/users/me/blocks/{}"),
    "mute": ("PUT", "/users/me/mutes/{}"),
    "unmute": ("DELETE", "/users/me/mutes/{}"),
}


class Town(Readers):
    """People, what they do, and what befalls the mesh meanwhile."""

    async def edge(self, act: str, who: str, whom: str) -> None:
        """follow, unfollow, block, unblock, mute, unmute, approve or deny."""
        verb, path = EDGES[act]
        is_allowed = getattr(self.model, act)(who, whom)
        where = path.format(self._people[whom].user_id)
        await self._act(act, who, verb, where, is_allowed, None)

    async def set_private(self, who: str, *, is_private: bool) -> None:
        is_allowed = self.model.set_private(who, is_private=is_private)
        body = {"isPrivate": is_private}
        await self._act("privacy", who, "PATCH", "/users/me", is_allowed, body)

    async def post(
        self,
        who: str,
        *,
        visibility: str = PUBLIC,
        reply_to: int = 0,
        quote_of: int = 0,
    ) -> None:
        is_allowed = self.model.may_post(who, reply_to=reply_to, quote_of=quote_of)
        original = self.model.original(quote_of)
        body: dict[str, object] = {"text": f"by {who}", "visibility": visibility}
        if reply_to:
            body["replyTo"] = str(reply_to)
        if quote_of:
            body["quoteOf"] = str(quote_of)
        answer = await self._act("post", who, "POST", "/posts", is_allowed, body)
        if is_allowed:
            post_id = int(answer["post"]["postId"])
            self.model.add(Post(post_id, who, visibility, quote_of=original))

    async def flood(self, who: str, count: int) -> None:
        """Many posts at once."""
        for _ in range(count // 10):
            await asyncio.gather(*(self.post(who) for _ in range(10)))

    async def share(self, who: str, post_id: int) -> None:
        is_allowed = self.model.may_share(who, post_id)
        path = f"/posts/{post_id}/share"
        answer = await self._act("share", who, "PUT", path, is_allowed, {})
        if is_allowed:
            share, mine = int(answer["post"]["postId"]), self.model.share_by
            if old := mine(who, post_id):
                assert share == old, "shared twice"
                return
            original = self.model.original(post_id)
            self.model.add(Post(share, who, share_of=original))

    async def unshare(self, who: str, post_id: int) -> None:
        is_allowed = self.model.may_see(who, post_id)
        share = self.model.share_by(who, post_id)
        path = f"/posts/{post_id}/share"
        await self._act("unshare", who, "DELETE", path, is_allowed, None)
        if is_allowed and share:
            self.model.delete(share)
            self._prune()

    async def edit(self, post_id: int, visibility: str) -> None:
        """By its author."""
        who = self.model.posts[post_id].author
        path, body = f"/posts/{post_id}", {"visibility": visibility}
        await self._act("edit", who, "PATCH", path, True, body)
        self.model.edit(post_id, visibility)
        self._prune()

    async def delete(self, post_id: int) -> None:
        """By its author."""
        who = self.model.posts[post_id].author
        await self._act("delete", who, "DELETE", f"/posts/{post_id}", True, None)
        self.model.delete(post_id)
        self._prune()

    async def like(self, who: str, post_id: int, *, is_liked: bool) -> None:
        is_allowed = self.model.may_see(who, post_id)
        verb = "PUT" if is_liked else "DELETE"
        await self._act("like", who, verb, f"/posts/{post_id}/like", is_allowed, None)
        if is_allowed and is_liked:
            self.model.likes.add((who, post_id))
        elif is_allowed:
            self.model.likes.discard((who, post_id))

    async def flush(self) -> None:
        """Valkey is empty from one moment to the next."""
        self._note("flush")
        await caches.flush(self._mesh)
        self._tops = {}

    async def kill(self, name: str) -> None:
        """Ends a process at once; it is started again by itself."""
        self._note(f"kill {name}")
        caches.kill(self._mesh, name)
        self._tops = {}

    async def come_to_rest(self) -> None:
        """Waits for all that is under way; then every feed is what it should be."""
        self._note("rest")
        await quiet(self._mesh, "feed-")
        self.model.come_to_rest()
        for viewer in self.model.people:
            home = self.model.home(viewer)
            latest = await self.crawl(viewer, LATEST)
            assert latest == sorted(latest, reverse=True)
            # With small pages too: some of them lie behind the ranked window.
            ranked = await self.crawl(viewer, RANKED, 7)
            for order, crawl in ((LATEST, latest), (RANKED, ranked)):
                missing, extra = (
                    home.must - set(crawl),
                    set(crawl) - home.must - home.may,
                )
                assert not missing, f"{viewer} {order}: {missing} are missing"
                assert not extra, f"{viewer} {order}: {extra} are too many"
            assert set(latest) == set(ranked), f"{viewer}: both orders hold the same"

    async def _act(
        self,
        name: str,
        who: str,
        verb: str,
        path: str,
        is_allowed: bool,
        body: Mapping[str, object] | None,
    ) -> Json:
        key = {"idempotency-key": f"{who}-{next(_keys)}"}
        answer = await self._ask(who, verb, path, body, key)
        self._note(f"{name} {who} {path} {body} -> {answer.status_code}")
        assert answer.is_success == is_allowed, (
            f"{name} by {who} {path} {body}: {answer.status_code} {answer.text},"
            f" should be allowed: {is_allowed}"
        )
        self._prune()
        return dict(answer.json()) if answer.is_success else {}

    def _prune(self) -> None:
        """Nobody expects any more what they may not see for the moment."""
        for session in self.sessions:
            session.expects &= self.model.feed(session.viewer)
