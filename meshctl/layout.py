"""Where a local mesh keeps its files, and on which ports it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from chassis.environment import PORTS

DATA = Path(".feedmesh")

DataOption = Annotated[
    Path,
    typer.Option("--data", help="Folder of the mesh's data, keys and logs."),
]

OffsetOption = Annotated[
    int,
    typer.Option(
        "--port-offset",
        min=0,
        max=14_000,
        help="How far all ports are shifted from the usual ones.",
    ),
]


@dataclass(frozen=True)
class Layout:
    """The files of one mesh."""

    data: Path

    @property
    def pid_file(self) -> Path:
        return self.data / "meshctl.pid"

    @property
    def lock(self) -> Path:
        """Held by the one `meshctl up` of this folder."""
        return self.data / "meshctl.lock"

    @property
    def engines(self) -> Path:
        return self.data / "engines"

    @property
    def secrets(self) -> Path:
        return self.data / "secrets"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def ready(self) -> Path:
        """There while the mesh is ready; the gateway looks for it."""
        return self.data / "ready"

    @property
    def seeded(self) -> Path:
        """There once the generated world is in."""
        return self.data / "seeded"


def address(room: str, offset: int) -> str:
    """Where the first process of a room ("graph") is on this machine."""
    return f"127.0.0.1:{PORTS[room] + offset}"
