"""What the lines of one run share: its extent, one mesh, one world."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import world
from bench.mesh import Mesh, running_mesh
from bench.world import World


@dataclass
class Run:
    """One run of the bench."""

    folder: Path
    stack: AsyncExitStack
    """Ends what is shared."""

    quick: bool = False
    rounds: int = 5
    _mesh: Mesh | None = field(default=None, init=False)
    _world: World | None = field(default=None, init=False)

    def extent(self, full: int, quick: int) -> int:
        """So much in earnest, so little to see that it works."""
        return quick if self.quick else full

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    async def mesh(self) -> Mesh:
        """The mesh of all lines but those that need one of their own."""
        if self._mesh is None:
            self._mesh = await self.stack.enter_async_context(running_mesh(self.folder))
        return self._mesh

    async def world(self) -> World:
        """Who lives in it."""
        if self._world is None:
            print("  people and posts …", flush=True)
            posts = self.extent(4_000, 2_000)
            self._world = await world.populate(await self.mesh(), posts=posts)
            print("  people and posts are there", flush=True)
        return self._world
