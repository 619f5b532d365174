"""Processes of a mesh: kept running, drained, never outliving meshctl."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from chassis.testing import eventually

from meshctl.children import TETHER, open_children
from meshctl.plan import Process

# Tells its pid and when it ended; drains when asked to, unless it is stubborn.
PROGRAM = """
import os, signal, sys, time
def drain(*_):
    print(time.monotonic_ns(), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else drain)
print(os.getpid(), flush=True)
signal.pause() if "well" in sys.argv else sys.exit(3)
"""


def process(package: str, *words: str, env: Mapping[str, str] | None = None) -> Process:
    return Process(
        name=package,
        package=package,
        argv=(sys.executable, "-c", PROGRAM, package, *words),
        env=env or {},
        port=0,
        admin_port=0,
    )


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def test_a_killed_process_starts_again(tmp_path: Path) -> None:
    """And the terminal says so."""
    said: list[str] = []
    wanted = [process("svc_feed", "well")]
    async with open_children(wanted, logs=tmp_path, say=said.append) as [child]:
        await eventually(lambda: len(lines(child.log)) == 1)
        os.kill(int(lines(child.log)[0]), signal.SIGKILL)
        await eventually(lambda: len(lines(child.log)) == 2)

    assert "svc_feed was killed by signal 9" in said[0]


async def test_a_process_that_keeps_ending_is_known(tmp_path: Path) -> None:
    """Its failures are counted, and its log can be shown."""
    said: list[str] = []
    wanted = [process("svc_feed")]
    async with open_children(wanted, logs=tmp_path, say=said.append) as [child]:
        await eventually(lambda: child.failures >= 3)

    assert "svc_feed ended with status 3" in said[0]
    assert child.last_words(lines=1).isdigit()


async def test_the_gateway_drains_before_what_it_calls(tmp_path: Path) -> None:
    """One group after the other, whatever the order of their start."""
    names = ("svc_graph", "gateway_http", "svc_feed")
    wanted = [process(name, "well") for name in names]
    async with open_children(wanted, logs=tmp_path, say=print) as children:
        await eventually(lambda: all(lines(child.log) for child in children))

    drained = {name: int(lines(tmp_path / f"{name}.log")[-1]) for name in names}
    assert sorted(names, key=drained.__getitem__) == [
        "gateway_http",
        "svc_feed",
        "svc_graph",
    ]


async def test_a_process_that_does_not_drain_is_killed(tmp_path: Path) -> None:
    """Its patience is bounded."""
    said: list[str] = []
    wanted = [process("svc_feed", "well", "stubborn")]
    async with open_children(wanted, logs=tmp_path, say=said.append) as [child]:
        await eventually(lambda: len(lines(child.log)) == 1)
        await child.stop(patience=0.1)

    assert "does not drain" in said[0]


async def test_a_tethered_process_ends_with_its_parent(tmp_path: Path) -> None:
    """Even when the parent has no time to do anything about it."""
    log = tmp_path / "log"
    start = (
        "import os, subprocess, sys, signal;"
        f"subprocess.Popen([sys.executable, '-S', '-I', {str(TETHER)!r},"
        " str(os.getpid()), *sys.argv[1:]]);"
        "signal.pause()"
    )
    with log.open("w") as output:
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", start),
            *process("svc_feed", "well").argv,
            stdout=output,
        )
    await eventually(lambda: len(lines(log)) == 1)
    child = Path(f"/proc/{lines(log)[0]}/status")
    parent.kill()
    await parent.wait()

    await eventually(lambda: not child.exists() or "\nState:\tZ" in child.read_text())
