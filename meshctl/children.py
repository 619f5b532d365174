"""The processes of the mesh as children: started, watched, restarted, drained."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from chassis.tasks import beside

from meshctl.plan import STOP_ORDER, Process

ROOT = Path(__file__).resolve().parents[1]
TETHER = Path(__file__).with_name("tether.py")

# Between the end of a process and its next start, in seconds.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
# A process that ran for so long is taken to be well again.
WELL_AFTER = 30.0
# Failures in a row before a mesh that is starting gives up.
FEW = 3

# How long a process may drain; then it is killed.
PATIENCE = 30.0

# Exit status of a service whose settings are wrong.
MISCONFIGURED = 2

LONGEST_LOG = 20_000_000

Say = Callable[[str], None]


class StartFailed(Exception):
    """The mesh does not come up; the message is for the person at the terminal."""


class Child:
    """One process, kept running until it is told to stop."""

    def __init__(self, *, process: Process, logs: Path, say: Say) -> None:
        self.process = process
        self.log = logs / f"{process.name}.log"
        self.failures = 0
        self.is_misconfigured = False
        self._say = say
        self._running: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int:
        """Of the process that runs now; 0 between two of them."""
        return 0 if self._running is None else self._running.pid

    async def keep_running(self) -> None:
        """Starts it, and starts it again whenever it ends, until stop()."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started_at = loop.time()
            self._running = await self._start()
            code = await self._running.wait()
            self._running = None
            if self._stopping.is_set():
                return
            self.is_misconfigured = code == MISCONFIGURED
            if loop.time() - started_at > WELL_AFTER:
                self.failures = 0
            pause = min(FIRST_PAUSE * 2**self.failures, LONGEST_PAUSE)
            self.failures += 1
            self._say(
                f"{self.process.name} {_how(code)};"
                f" it starts again in {pause:.1f} s ({self.log})"
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def stop(self, patience: float = PATIENCE) -> None:
        """Lets it drain, and returns when it is gone."""
        self._stopping.set()
        running = self._running
        if running is None:
            return
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        try:
            async with asyncio.timeout(patience):
                await running.wait()
        except TimeoutError:
            self._say(f"{self.process.name} does not drain; it is killed")
            with contextlib.suppress(ProcessLookupError):
                running.kill()
            await running.wait()

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    async def _start(self) -> asyncio.subprocess.Process:
        process = self.process
        if self.log.exists() and self.log.stat().st_size > LONGEST_LOG:
            self.log.rename(self.log.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(self.log, flags, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", "-I", str(TETHER), str(os.getpid())),
                *process.argv,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                env=process.env,
                cwd=ROOT,
                # Ctrl-C in a terminal is for us alone.
                start_new_session=True,
            )
        finally:
            os.close(log)


@contextlib.asynccontextmanager
async def open_children(
    processes: Iterable[Process], *, logs: Path, say: Say
) -> AsyncIterator[Sequence[Child]]:
    """All processes, from their start to the end of their drain."""
    children = [Child(process=one, logs=logs, say=say) for one in processes]
    async with beside(_keep_all(children)):
        try:
            yield children
        finally:
            for packages in STOP_ORDER:
                leaving = [c for c in children if c.process.package in packages]
                await asyncio.gather(*(child.stop() for child in leaving))


async def _keep_all(children: Sequence[Child]) -> None:
    async with asyncio.TaskGroup() as group:
        for child in children:
            group.create_task(child.keep_running())


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
