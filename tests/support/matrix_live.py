"""What live clients and those who poll are told, and what is left of it in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import httpx

from chassis.testing import eventually

from tests.support.matrix import LETTERS, Cell, Scene, Viewer
from tests.support.matrix_paths import Path, in_feed
from tests.support.people import Json

HEARD_SECONDS = 20
STILL_FOLLOWING = ("mutual", "follower", "ex_mutual", "late", "refollower")


class Listening:
    """Every reader's events from one moment on, by every way there is."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._since: dict[int, str] = {}
        self._heard: dict[int, list[tuple[str, Json]]] = {}
        self._ended: set[int] = set()

    async def begin(self) -> None:
        """Notes where everybody's log stands."""

        async def noted(viewer: Viewer) -> None:
            answer = await viewer.ask("/sync")
            if answer.is_success:
                self._since[id(viewer)] = answer.json()["position"]

        await asyncio.gather(*map(noted, self._scene.viewers))

    @asynccontextmanager
    async def live(self) -> AsyncIterator[None]:
        """Streams of everybody, until the block ends."""
        async with asyncio.TaskGroup() as group:
            tasks = []
            for viewer in self._scene.viewers:
                if id(viewer) in self._since:
                    heard = self._heard[id(viewer)] = []
                    tasks.append(group.create_task(self._listen(viewer, heard)))

            def connected() -> None:
                assert all(self._heard.values()), "not every stream has begun"

            await eventually(connected, timeout=HEARD_SECONDS)
            yield
            for task in tasks:
                task.cancel()

    async def _listen(self, viewer: Viewer, heard: list[tuple[str, Json]]) -> None:
        # A stream that the server ends was ended for a reason: nothing more is heard.
        with suppress(httpx.HTTPError):
            async for position, event in events(viewer):
                heard.append((position, event))
        self._ended.add(id(viewer))

    def paths(self) -> dict[str, Path]:
        return {
            "Sync": Path(self._sync, expected_live, letters=LETTERS),
            "SSE resume": Path(self._resume, expected_live, letters=LETTERS),
            "SSE live": Path(self._live, expected_live, letters=LETTERS),
        }

    async def _sync(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        told, _ = await self._synced(viewer)
        return left_of(scene, viewer, told)

    async def _synced(self, viewer: Viewer) -> tuple[list[Json], str]:
        """All events since the beginning, and where that ends."""
        told: list[Json] = []
        since = self._since.get(id(viewer), "")
        while since:
            query: dict[str, str | int] = {"since": since, "pageSize": 1000}
            answer = await viewer.ask("/sync", query=query)
            if not answer.is_success:
                return [], ""
            told += answer.json().get("events", [])
            since = answer.json()["position"]
            if not answer.json().get("hasMore"):
                break
        return told, since

    async def _resume(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        _, end = await self._synced(viewer)
        if not end:
            return set()
        told: list[Json] = []
        async with asyncio.timeout(HEARD_SECONDS):
            async for position, event in events(viewer, self._since[id(viewer)]):
                told.append(event)
                if position == end:
                    break
        return left_of(scene, viewer, told)

    async def _live(self, scene: Scene, viewer: Viewer) -> set[Cell]:
        heard = self._heard.get(id(viewer), [])
        _, end = await self._synced(viewer)

        def caught_up() -> None:
            if end:
                assert end in {position for position, _ in heard}, viewer.relation
            elif id(viewer) in self._since:
                # Who may not poll any more is not told anything either.
                assert id(viewer) in self._ended, f"{viewer.relation} goes on to hear"

        await eventually(caught_up, timeout=HEARD_SECONDS)
        return left_of(scene, viewer, [event for _, event in heard]) if end else set()


def expected_live(scene: Scene, viewer: Viewer) -> set[Cell]:
    """What is left in the end is what the feed shows."""
    return {cell for cell in in_feed(scene, viewer) if cell[1] != "q"}


def known_by_id(viewer: Viewer) -> str:
    """Contents whose ids a client may keep, though they are not in the feed any more.

    Live events tell of posts and of authors who leave the feed. What left it because
    an original is hidden, or since somebody follows no more, is found to be gone when
    the feed is read.
    """
    if viewer.relation in STILL_FOLLOWING:
        return "sStdNn" + ("M" if viewer.relation == "ex_mutual" else "")
    return "sStd"


def left_of(scene: Scene, viewer: Viewer, told: Iterable[Json]) -> set[Cell]:
    """What a client keeps that does as it is told."""
    kept: dict[str, str] = {}
    fed = in_feed(scene, viewer)
    for event in told:
        if "reset" in event:
            # Told to whom an author comes back to, who then reads the feed anew.
            assert viewer.relation == "refollower", f"{viewer.relation} starts anew"
            kept = {scene.posts[cell]: "" for cell in fed if cell in scene.posts}
        elif added := event.get("postAdded"):
            kept[added["postId"]] = added["authorId"]
        elif removed := event.get("postRemoved"):
            kept.pop(removed["postId"], None)
        elif removed := event.get("authorRemoved"):
            author = removed["authorId"]
            kept = {post: by for post, by in kept.items() if by != author}
    excused = known_by_id(viewer)
    return {c for c in scene.cells(viewer, kept) if c in fed or c[1] not in excused}


async def events(viewer: Viewer, since: str = "") -> AsyncIterator[tuple[str, Json]]:
    """Position and event, as they come."""
    headers = {**viewer.person.headers, "accept": "text/event-stream"}
    if since:
        headers["last-event-id"] = since
    async with viewer.person.client.stream(
        "GET", "/v1/stream", headers=headers, timeout=httpx.Timeout(30, read=60)
    ) as answer:
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line == "" and "data" in fields:
                event = json.loads(fields["data"]).get("event", {})
                yield fields.get("id", event.get("position", "")), event
                fields = {}
            name, colon, value = line.partition(":")
            if colon and name:
                fields[name] = value.strip()
