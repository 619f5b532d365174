"""`python -m tests.planted`: every planted bug must turn its test red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.planted.patches import ROOT, Planted, planted

TEST_SECONDS = 300.0
# Of pytest: all passed, some failed. Anything else is no verdict.
PASSED, FAILED = 0, 1


def main(names: list[str]) -> int:
    """Exit code: 0 when every bug was caught. `names` picks some of them."""
    chosen = [one for one in planted() if not names or one.name in names]
    if not chosen or len(chosen) < len(set(names)):
        sys.stderr.write(f"no such bug among: {', '.join(names)}\n")
        return 2
    out = Console(highlight=False, soft_wrap=True)
    verdicts: dict[Planted, str] = {}
    for one in chosen:
        verdicts[one] = verdict(one)
        out.print(f"{one.name}: {verdicts[one]}")
    table = Table("planted bug", "test", "verdict")
    for one, said in verdicts.items():
        table.add_row(one.bug, one.test, said)
    out.print(table)
    return 0 if set(verdicts.values()) == {"caught"} else 1


def verdict(one: Planted) -> str:
    """What came of one bug: caught, or why not."""
    with TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder) / "tree"
        copy_tree(copy)
        if run_test(one, copy) != PASSED:
            return "NOT JUDGED: the test is red without the bug"
        if not applies(one, copy):
            return "NOT JUDGED: the patch does not apply any more"
        outcome = run_test(one, copy)
        return {FAILED: "caught", PASSED: "NOT CAUGHT"}.get(
            outcome, f"NOT JUDGED: pytest ended with {outcome}"
        )


def copy_tree(copy: Path) -> None:
    """What git would commit, as it lies there now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def applies(one: Planted, copy: Path) -> bool:
    """Applies the patch; False when it does not fit."""
    done = subprocess.run(
        ["git", "apply", "--recount", str(one.path)],
        cwd=copy,
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


def run_test(one: Planted, copy: Path) -> int:
    """pytest's exit code for the bug's test in the copy; its output when unexpected."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
    done = subprocess.run(
        [*pytest, one.test],
        cwd=copy,
        check=False,
        env=environment(copy),
        capture_output=True,
        text=True,
        timeout=TEST_SECONDS,
    )
    if done.returncode not in (PASSED, FAILED):
        sys.stderr.write(done.stdout + done.stderr)
    return done.returncode


def environment(copy: Path) -> Mapping[str, str]:
    """Ours, with the copy in front of what is installed."""
    path = os.pathsep.join((str(copy), str(copy / "gen")))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
