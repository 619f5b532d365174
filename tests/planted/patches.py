"""The patches of this folder: what each breaks, and which test is to notice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


@dataclass(frozen=True)
class Planted:
    """One planted bug. The file begins with two lines, `Bug: …` and `Test: …`."""

    path: Path
    bug: str
    """What it does, in a few words."""

    test: str
    """Node id of the test that is to go red."""

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def test_file(self) -> Path:
        return ROOT / self.test.partition("::")[0]


def planted() -> Iterator[Planted]:
    """Every patch, by name. ValueError for one that does not say what it is for."""
    for path in sorted(FOLDER.glob("*.patch")):
        lines = path.read_text().splitlines()
        if len(lines) < 3 or not lines[0].startswith("Bug: "):
            raise ValueError(f"{path.name} does not begin with `Bug: …`")
        if not lines[1].startswith("Test: "):
            raise ValueError(f"{path.name} does not name its test")
        yield Planted(
            path, lines[0].removeprefix("Bug: "), lines[1].removeprefix("Test: ")
        )
