"""Relation, content, path, and when the change came: every cell is as the table says.

The table is tests/support/truth.py; tests/contract/paths.txt has the paths of every
route.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

import pytest
import pytest_asyncio

from meshctl.connection import Connection, Place, connect_as_service
from meshctl.layout import Layout
from tests.support import caches
from tests.support.matrix import CELEBRITY_THRESHOLD, LETTERS, Cell, Scene, Viewer
from tests.support.matrix_held import Held
from tests.support.matrix_live import Listening
from tests.support.matrix_paths import (
    PATHS,
    SOME,
    Path,
    explained,
    in_feed,
    new_count,
    newer,
)
from tests.support.matrix_rows import AFTER, BEFORE, DURING
from tests.support.mesh import Mesh, run_meshctl, running_mesh
from tests.support.quiet import quiet
from tests.support.truth import WRITTEN

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

ENVIRONMENT = {
    "FEEDMESH_GRAPH_CELEBRITY_THRESHOLD": str(CELEBRITY_THRESHOLD),
    # How soon live clients hear of what no event tells: of celebrities, and of who
    # left while nobody listened.
    "FEEDMESH_PUSH_HEARTBEAT": "PT0.2S",
    "FEEDMESH_PUSH_CELEBRITY_REFRESH": "PT0.2S",
    # However slow the machine is, the second refresh comes too soon.
    "FEEDMESH_FEED_REFRESH_SECONDS": "PT1H",
}
# Whose feed changes with fan-out: until it has come to rest, they may find less.
TRAILING = ("late", "refollower")
# Whose tokens were revoked. An empty cache forgets that, until the tokens end.
REVOKED = ("suspended", "deleted")
AT_ONCE = 8
FALLBACK = "SERVED_AS_CHRONOLOGICAL_FALLBACK"

FEEDS = ("LATEST", "RANKED")
BY_ID = ("post by id", "likes", "comments", "author lists", "acts")
PEOPLE = ("names", "profiles", "lists")


@dataclass(frozen=True)
class Stand:
    """A mesh in which authors of many followers are celebrities."""

    mesh: Mesh
    connection: Connection

    def where(self) -> tuple[str, ...]:
        return "--data", str(self.mesh.data), "--port-offset", str(self.mesh.offset)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """A mesh of this module's own: its ranker is stopped, its cache emptied."""
    data = tmp_path_factory.mktemp("matrix")
    async with (
        running_mesh(data, "--no-seed", env=ENVIRONMENT) as mesh,
        connect_as_service(Place(Layout(data), mesh.offset)) as connection,
    ):
        yield Stand(mesh, connection)


class Comparison:
    """Reads paths, and gathers the cells that are not as the table has them."""

    def __init__(self, scene: Scene, more: Mapping[str, Path]) -> None:
        self._scene = scene
        self._paths = {**PATHS, **more}
        self._wrong: list[str] = []
        self._cells = 0
        self.read: set[str] = set()

    async def along(
        self,
        *names: str,
        trailing: Iterable[str] = (),
        but: Iterable[str] = (),
        label: str = "",
    ) -> None:
        """Along each path, for all but some readers.

        Those who trail may find less, never more.
        """
        viewers = [v for v in self._scene.viewers if not is_one_of(v, but)]
        permits = asyncio.Semaphore(AT_ONCE)

        async def one(name: str, viewer: Viewer) -> None:
            async with permits:
                await self._one(label or name, self._paths[name], viewer, trailing)

        for name in names:
            self.read.add(label or name)
            await asyncio.gather(*(one(name, viewer) for viewer in viewers))

    async def _one(
        self, name: str, path: Path, viewer: Viewer, trailing: Iterable[str]
    ) -> None:
        found = path.domain(await path.read(self._scene, viewer))
        if found and is_one_of(viewer, REVOKED):
            # Revocations that cannot be read in time let somebody in; once.
            found = path.domain(await path.read(self._scene, viewer))
        self._wrong += [f"{name:24} {viewer.relation:12} {t}" for t in viewer.leaked]
        viewer.leaked.clear()
        expected = path.domain(path.expected(self._scene, viewer))
        self._cells += len(viewer.authors) * len(path.letters)
        self._note(name, viewer, found - expected, "is shown")
        if viewer.relation not in trailing:
            self._note(name, viewer, expected - found, "is missing")

    def _note(self, path: str, viewer: Viewer, cells: set[Cell], what: str) -> None:
        for kind in sorted({cell[0] for cell in cells}):
            letters = "".join(sorted(cell[1] for cell in cells if cell[0] == kind))
            self._wrong.append(
                f"{path:24} {viewer.relation:12} {kind:12} {what:10} {letters}"
            )

    def settle(self, paths: set[str]) -> None:
        """Nothing was wrong along these paths, and no other."""
        assert self.read == paths
        table = "\n".join(self._wrong)
        assert not self._wrong, f"of {self._cells} cells these are wrong:\n{table}"


def is_one_of(viewer: Viewer, names: Iterable[str]) -> bool:
    """By relation, or for somebody's own account by what became of it."""
    name = viewer.authors[0] if viewer.relation == "self" else viewer.relation
    return name in names


async def test_a_state_that_was_there_before_the_post(stand: Stand) -> None:
    """Nothing was ever shown: nothing is."""
    async with stand.mesh.client() as client:
        scene = Scene(client=client, connection=stand.connection)
        await scene.gather()
        await scene.tie()
        await scene.close_account()
        await scene.change()
        listening = Listening(scene)
        await listening.begin()
        await scene.write()
        await scene.narrow()
        await scene.end_accounts()
        scene.forbid()
        await quiet(stand.mesh)

        cells = Comparison(scene, listening.paths())
        await cells.along(*FEEDS, *BY_ID, *PEOPLE)
        await cells.along("Sync", "SSE resume", trailing=TRAILING)
        await rank_is_down(stand, cells)
        await caches.flush(stand.mesh)
        await cells.along("LATEST", but=REVOKED, label="cold cache")
        await cells.along("LATEST", but=REVOKED, label="warm cache")

    cells.settle(BEFORE)


async def test_a_change_after_fan_out_with_warm_caches(stand: Stand) -> None:
    """It holds for the next read, on every path, whatever was kept from before."""
    async with stand.mesh.client() as client:
        scene = Scene(client=client, connection=stand.connection)
        await scene.gather()
        await scene.tie()
        listening, held = Listening(scene), Held()
        await listening.begin()
        await scene.write()
        await quiet(stand.mesh)
        await Comparison(scene, {}).along(*FEEDS, "author lists", *PEOPLE)
        await held.take(scene)
        before = await caches.snapshot(stand.mesh)
        await held.refresh(scene)
        await scene.write_newer()
        await quiet(stand.mesh)

        await scene.narrow()
        await scene.close_account()
        await scene.change()
        await scene.end_accounts()
        scene.forbid()

        more = {**held.paths(), **listening.paths(), **TOLD}
        cells = Comparison(scene, more)
        await cells.along("new count", *held.paths(), trailing=TRAILING)
        await cells.along(*FEEDS, trailing=TRAILING)
        await cells.along(*BY_ID, *PEOPLE)
        await quiet(stand.mesh)
        await cells.along(*FEEDS)
        await cells.along("explained", but=REVOKED)
        await cells.along("Sync", "SSE resume", trailing=TRAILING)
        await rank_is_down(stand, cells)
        await told_by_meshctl(stand, scene)
        cells.read.add("meshctl feed")
        await caches.restart_with(stand.mesh, before)
        await cells.along("RANKED", "LATEST", but=REVOKED, label="stale cache")
        await cells.along(
            "some by id", "author lists", but=REVOKED, label="stale cache"
        )

    cells.settle(AFTER)


async def test_a_change_while_streams_are_open(stand: Stand) -> None:
    """With fan-out under way: what is read never shows too much, and ends right."""
    async with stand.mesh.client() as client:
        scene = Scene(client=client, connection=stand.connection)
        await scene.gather()
        await scene.tie()
        listening = Listening(scene)
        await listening.begin()
        async with listening.live():
            await scene.write()
            await scene.narrow()
            await scene.close_account()
            await scene.change()
            await scene.end_accounts()
            scene.forbid()

            cells = Comparison(scene, listening.paths())
            everybody = {viewer.relation for viewer in scene.viewers}
            await cells.along(*FEEDS, trailing=everybody)
            await cells.along(*BY_ID)
            await quiet(stand.mesh)
            await cells.along(*FEEDS)
            await cells.along("Sync", "SSE resume", "SSE live", trailing=TRAILING)

    cells.settle(DURING)


async def rank_is_down(stand: Stand, cells: Comparison) -> None:
    """Along the ranked feed, while ranking does not answer."""
    stand.mesh.signal("svc_rank", signal.SIGSTOP)
    try:
        await cells.along("RANKED", label="ranking down")
    finally:
        stand.mesh.signal("svc_rank", signal.SIGCONT)


TOLD = {
    "new count": Path(new_count, newer),
    "explained": Path(explained, in_feed, SOME, LETTERS),
}


async def told_by_meshctl(stand: Stand, scene: Scene) -> None:
    """An operator who looks at somebody's feed sees what they see."""
    for viewer in scene.viewers:
        if viewer.relation in ("mutual", "muter", "blocked"):
            told = await run_meshctl(
                *("feed", viewer.person.handle, "--latest", "--size", "100"),
                *stand.where(),
            )
            kinds = [cell for cell in scene.posts if cell[1] in WRITTEN]
            shown = {cell for cell in kinds if scene.text(cell) in told}
            should = {c for c in in_feed(scene, viewer) if c[1] in WRITTEN}
            assert shown == should, viewer.relation
