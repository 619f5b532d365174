"""Two trees against each other: this one and an earlier one, driven in turn.

Each tree runs its own bench on its own mesh, so that both are measured as they are;
what is compared is the ratio to the ceiling of the same run, which is what survives a
machine that is faster at one moment than at the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench.processes import ROOT

MOST_LOST = 0.10
"""A line that lost more than this share of its ratio is a failure."""

RUN_SECONDS = 900.0


@dataclass(frozen=True)
class Compared:
    """One line in both trees."""

    name: str
    before: list[float]
    after: list[float]

    @property
    def change(self) -> float:
        """By which share the ratio grew; negative where it shrank."""
        return statistics.median(self.after) / statistics.median(self.before) - 1

    @property
    def is_kept(self) -> bool:
        return self.change >= -MOST_LOST


def main(
    against: Annotated[str, typer.Argument(help="A commit, tag or branch.")],
    only: Annotated[str, typer.Option(help="Comma-separated lines.")] = "P1,P2,P3",
    turns: Annotated[int, typer.Option(min=1, help="Runs of each tree.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of a run.")] = 3,
) -> None:
    """Measure this tree against an earlier one; fail where it lost more than 10 %.

    Needs what the bench needs, for both trees: they run with the same packages.
    """
    names = only.split(",")
    found: dict[str, Compared] = {name: Compared(name, [], []) for name in names}
    with checked_out(against) as earlier:
        for turn in range(turns):
            # The one that begins changes, so that neither always finds a warm machine.
            pair = [(earlier, "before"), (ROOT, "after")]
            for tree, when in pair if turn % 2 == 0 else reversed(pair):
                print(f"turn {turn + 1}: {when} …", flush=True)
                for name, ratio in measured(tree, only, rounds).items():
                    getattr(found[name], when).append(ratio)
    show(list(found.values()), against)
    raise typer.Exit(0 if all(one.is_kept for one in found.values()) else 1)


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """The tree of a commit, in a folder that is removed afterwards."""
    with TemporaryDirectory(prefix="bench-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True)


def measured(tree: Path, only: str, rounds: int) -> dict[str, float]:
    """One run of a tree's bench: the ratio of each line."""
    with TemporaryDirectory(prefix="bench-") as folder:
        argv = ("--only", only, "--rounds", str(rounds), "--folder", folder)
        # Also for the processes that it starts: theirs come before what is installed.
        path = os.pathsep.join((str(tree), str(tree / "gen")))
        subprocess.run(
            [sys.executable, "-m", "bench", *argv],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": path},
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=RUN_SECONDS,
        )
        (record,) = Path(folder).glob("*.json")
        lines = json.loads(record.read_text())["lines"]
        return {line["name"]: line["ratio"] for line in lines}


def show(lines: list[Compared], against: str) -> None:
    table = Table("", f"ratio at {against}", "ratio now", "change", "")
    for line in lines:
        table.add_row(
            line.name,
            *(_figures(figures) for figures in (line.before, line.after)),
            f"{line.change:+.1%}",
            "kept" if line.is_kept else "lost",
        )
    Console(highlight=False).print(table)


def _figures(figures: list[float]) -> str:
    each = " ".join(f"{figure:.3f}" for figure in figures)
    return f"{statistics.median(figures):.3f} ({each})"


if __name__ == "__main__":
    typer.run(main)
