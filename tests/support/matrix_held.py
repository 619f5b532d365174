"""What readers hold from before the change, and try to use after it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tests.support.matrix import LETTERS, Cell, Scene, Viewer
from tests.support.matrix_paths import (
    LATEST,
    RANKED,
    REFUSED,
    SOME,
    Path,
    by_id,
    in_feed,
    pages,
    shown_by,
)
from tests.support.truth import NEWER

FEW = 3


@dataclass
class Kept:
    """Of one reader."""

    tokens: dict[str, str] = field(default_factory=dict)
    first: dict[str, set[Cell]] = field(default_factory=dict)
    refreshed: set[Cell] = field(default_factory=set)
    etags: dict[Cell, str] = field(default_factory=dict)
    remark: str = ""


class Held:
    """Page tokens, ETags, a refreshed page and an answered write, by reader."""

    def __init__(self) -> None:
        self._kept: dict[int, Kept] = {}
        # How many refreshed pages were indeed the last ones again.
        self.again = 0

    async def take(self, scene: Scene) -> None:
        """Everybody begins what they will go on with."""
        await asyncio.gather(*(self._take(scene, one) for one in scene.viewers))

    async def _take(self, scene: Scene, viewer: Viewer) -> None:
        kept = self._kept[id(viewer)] = Kept()
        for cell, post_id in scene.posts.items():
            if cell[0] in viewer.authors and cell[0] in SOME:
                answer = await viewer.ask(f"/posts/{post_id}")
                if answer.is_success:
                    kept.etags[cell] = answer.headers["etag"]
        if viewer.relation == "anonymous":
            return
        for order in (LATEST, RANKED):
            page = await viewer.ask("/feed", query={"order": order, "pageSize": FEW})
            kept.tokens[order] = page.json().get("nextPageToken", "")
            kept.first[order] = shown_by(scene, viewer, page.json().get("items", []))
        kept.remark = await self._remark(scene, viewer)

    async def refresh(self, scene: Scene) -> None:
        """Everybody pulls to refresh, as shortly before the change as can be."""

        async def refreshed(viewer: Viewer) -> None:
            if viewer.relation != "anonymous":
                kept = self._kept[id(viewer)]
                kept.refreshed = await self._refreshed(scene, viewer)

        await asyncio.gather(*map(refreshed, scene.viewers))
        self.again = 0

    async def _refreshed(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        query: dict[str, str | int] = {"order": LATEST, "pageSize": 100}
        answer = await viewer.ask("/feed", query=query | {"refresh": "true"})
        if answer.status_code in REFUSED:
            return set()
        page = answer.json()
        self.again += page["servedFrom"] == "SERVED_FROM_CACHED_REFRESH"
        return shown_by(scene, viewer, page.get("items", []))

    async def _remark(self, scene: Scene, viewer: Viewer) -> str:
        """A comment with a key of its own; empty where it is refused."""
        post_id = scene.posts["open", "P"]
        answer = await viewer.ask(
            f"/posts/{post_id}/comments",
            verb="POST",
            json={"text": f"says {viewer.relation}"},
            headers={"idempotency-key": f"remark-{viewer.person.user_id}"},
        )
        return str(answer.json()["comment"]) if answer.is_success else ""

    def paths(self) -> dict[str, Path]:
        """The ways that begin with something from before."""
        return {
            f"second page {LATEST}": self._second_page(LATEST),
            f"second page {RANKED}": self._second_page(RANKED),
            "CACHED_REFRESH": Path(self._read_refreshed, self._expected_refreshed),
            "conditional": Path(self._conditional, by_id, SOME, LETTERS),
            "replay": Path(self._replay, self._nothing),
        }

    def _second_page(self, order: str) -> Path:
        async def read(scene: Scene, viewer: Viewer) -> set[Cell]:
            token = self._of(viewer).tokens.get(order, "")
            if not token:
                return set()
            return await pages(scene, viewer, order, token=token, size=FEW)

        def expected(scene: Scene, viewer: Viewer) -> set[Cell]:
            kept = self._of(viewer)
            if not kept.tokens.get(order):
                return set()
            return older(in_feed(scene, viewer) - kept.first[order])

        return Path(read, expected)

    async def _read_refreshed(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        return await self._refreshed(scene, viewer)

    def _expected_refreshed(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        if viewer.relation == "self":
            # Who has posted since is shown that, at once.
            return in_feed(scene, viewer)
        return in_feed(scene, viewer) & self._of(viewer).refreshed

    async def _conditional(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        """304 says that it is still there, and still to be seen."""
        found = by_id(scene, viewer) - self._of(viewer).etags.keys()
        for cell, etag in self._of(viewer).etags.items():
            answer = await viewer.ask(
                f"/posts/{scene.posts[cell]}", headers={"if-none-match": etag}
            )
            if answer.is_success or answer.status_code == 304:
                found.add(cell)
        return found

    async def _replay(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        """The same answer again, which is the reader's own remark; or none."""
        kept = self._of(viewer)
        again = kept.remark and await self._remark(scene, viewer)
        assert again in ("", kept.remark), f"{viewer.relation}: {again}"
        return set()

    def _nothing(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        return set()

    def _of(self, viewer: Viewer) -> Kept:
        return self._kept[id(viewer)]


def older(cells: set[Cell]) -> set[Cell]:
    """Without what was written after the session began."""
    return {cell for cell in cells if cell[1] not in NEWER}
