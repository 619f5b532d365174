"""`python -m tests.faults`: a mesh, its people, faults, and the verdict."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chassis.tasks import beside

from meshctl.children import StartFailed
from meshctl.console import quieten
from tests.faults import quiet, report, workload
from tests.faults.checkers import check
from tests.faults.faults import Fault
from tests.faults.findings import Evidence
from tests.faults.history import History
from tests.faults.nemesis import ALL, Nemesis, chosen
from tests.faults.starting import running_mesh
from tests.faults.world import open_world

# All is usual for so long before the first fault.
WARM_SECONDS = 4.0
# For everything but the faults: set-up, quiet, final reads, and a fault overdue.
MORE_SECONDS = 420.0


def main() -> int:
    """The exit code: 0 when nothing was found and every fault was injected."""
    options = _options()
    quieten()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(_bounded(options))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            report.say("interrupted; everything that was started is gone")
            return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default="", help="such as F15,F16")
    parser.add_argument(
        "--keep", action="store_true", help="leave the mesh's data and logs there"
    )
    options = parser.parse_args()
    known = {fault.name for fault in ALL}
    options.only = [name for name in options.only.split(",") if name]
    if unknown := set(options.only) - known:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return options


async def _bounded(options: argparse.Namespace) -> int:
    async with asyncio.timeout(options.minutes * 60 * 1.5 + MORE_SECONDS):
        return await _run(options)


async def _run(options: argparse.Namespace) -> int:
    folder = Path(tempfile.mkdtemp(prefix="feedmesh-faults-"))
    wanted = chosen(options.only, options.minutes)
    history = History(folder / "history.jsonl")
    report.say(f"seed {options.seed}, {options.minutes:g} minutes, faults by proxy")
    report.say(f"history {history.path}")
    is_clean = False
    try:
        nemesis = await _play(folder, history, wanted, options)
        evidence = Evidence(history.operations, nemesis.windows)
        findings = check(evidence)
        report.tell(evidence, findings, wanted)
        for name, why in nemesis.missed.items():
            report.say(f"{name} was not injected: {why}")
        is_clean = not findings and not nemesis.missed
    except StartFailed as failure:
        report.say(str(failure))
    finally:
        history.close()
        if not options.keep:
            _clear(folder, keep_history=not is_clean)
    return 0 if is_clean else 1


async def _play(
    folder: Path,
    history: History,
    wanted: Sequence[Fault],
    options: argparse.Namespace,
) -> Nemesis:
    """The whole run, from the start of the mesh to the last read."""
    dice = random.Random(options.seed)
    async with (
        running_mesh(folder / "mesh") as mesh,
        open_world(mesh, history, dice) as world,
    ):
        nemesis = Nemesis(
            mesh=mesh,
            world=world,
            history=history,
            dice=dice,
            minutes=options.minutes,
            say=report.say,
        )
        async with workload.busy(world):
            await asyncio.sleep(WARM_SECONDS)
            await quiet.sample(mesh, history)
            async with beside(quiet.keep_sampling(mesh, history)):
                await nemesis.run(wanted)
            await asyncio.sleep(1)
        report.say("quiet; everything is read once more")
        await quiet.until_quiet(mesh, history)
        await quiet.read_everything(mesh, world)
        return nemesis


def _clear(folder: Path, *, keep_history: bool) -> None:
    """Takes away what nobody needs; the history of a failed run stays, with logs."""
    shutil.rmtree(folder / "mesh" / "engines", ignore_errors=True)
    if not keep_history:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
