"""One engine as a child of ours: started, awaited, stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread

from chassis.embedded.keeper import Orders

# The folder that holds the package chassis.
_ROOT = Path(__file__).resolve().parents[2]

# How often a starting engine is asked whether it is ready.
_POLL = 0.01


# A longer log is put aside at the next start.
LONGEST_LOG = 20_000_000


class EngineError(Exception):
    """An engine did not start; the message says why and where its log is."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What an engine is to its keeper."""

    name: str

    folder: Path
    """All that the engine writes lies in here."""

    argv: list[str]

    ports: tuple[int, ...]
    """Listened on, on the loopback interface."""

    is_ready: Callable[[int], bool]
    """Given the pid: whether it answers clients. May raise OSError while it does
    not."""

    stop_signals: tuple[int, ...]
    """First the polite one."""

    prepare: list[str] = field(default_factory=list)
    draft: Path = Path()
    made: Path = Path()
    stale: tuple[Path, ...] = ()
    unprivileged: bool = False

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"


class Child:
    """A running engine, or one that was running. Methods may block for seconds."""

    def __init__(self, *, program: Program, ephemeral: bool) -> None:
        self.program = program
        self._ephemeral = ephemeral
        self._keeper: subprocess.Popen[bytes] | None = None
        self._watch: Thread | None = None
        self._ended = ""
        self._lock = Lock()
        self.pid = 0

    @property
    def is_running(self) -> bool:
        return self._keeper is not None and not self._ended

    def start(self, *, timeout: float) -> None:
        """Start it and wait until it answers. EngineError says why it does not."""
        with self._lock:
            self._end()
            self._begin(timeout)

    def stop(self) -> None:
        """Stop it in good order, by force if it takes too long."""
        with self._lock:
            self._end()

    def _begin(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for port in self.program.ports:
            _claim(self.program.name, port, deadline)
        self._ended = ""
        self.pid = 0
        keeper = self._keeper = self._start_keeper(lock_wait=timeout / 2)
        self._watch = Thread(target=self._listen, args=(keeper,), daemon=True)
        self._watch.start()
        while not self._is_ready():
            if self._ended or time.monotonic() > deadline:
                why = self._ended or f"it does not answer within {timeout:g} s"
                self._end()
                raise EngineError(
                    f"{self.program.name}: {why}; its log is {self.program.log}"
                )
            time.sleep(_POLL)

    def _end(self) -> None:
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None
        with suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait()
        if self._watch is not None:
            self._watch.join()
        self._keeper = None
        self.pid = 0

    def _is_ready(self) -> bool:
        with suppress(OSError):
            return self.pid != 0 and self.program.is_ready(self.pid)
        return False

    def _start_keeper(self, *, lock_wait: float) -> subprocess.Popen[bytes]:
        program = self.program
        if program.log.exists() and program.log.stat().st_size > LONGEST_LOG:
            program.log.rename(program.log.with_suffix(".log.1"))
        orders = Orders(
            argv=program.argv,
            # Nothing of ours: our variables may hold secrets, and PG* ones options.
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            folder=str(program.folder),
            log=str(program.log),
            prepare=program.prepare,
            draft=str(program.draft),
            made=str(program.made),
            stale=[str(path) for path in program.stale],
            unprivileged=program.unprivileged,
            stop_signals=[int(number) for number in program.stop_signals],
            grace=5,
            lock_wait=lock_wait,
            ephemeral=self._ephemeral,
        )
        keeper = subprocess.Popen(
            # Without site: a keeper is there in a fraction of the time.
            [sys.executable, "-S", "-P", "-m", "chassis.embedded.keeper", program.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(_ROOT), "PATH": os.defpath},
            start_new_session=True,
        )
        assert keeper.stdin is not None
        keeper.stdin.write(json.dumps(orders).encode() + b"\n")
        keeper.stdin.flush()
        return keeper

    def _listen(self, keeper: subprocess.Popen[bytes]) -> None:
        """In a thread: keep up with what the keeper tells."""
        assert keeper.stdout is not None
        why = "its keeper ended"
        for line in keeper.stdout:
            fact = json.loads(line)
            if "started" in fact:
                self.pid = fact["started"]
            elif "exited" in fact:
                why = f"it ended with status {fact['exited']}"
            else:
                why = str(fact["failed"])
        keeper.stdout.close()
        self._ended = why


def _claim(name: str, port: int, deadline: float) -> None:
    """Make sure that the port is free; an engine killed just now may still have it."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if time.monotonic() > deadline:
                    raise EngineError(
                        f"{name}: port {port} is in use by another program"
                    ) from error
            else:
                return
        time.sleep(_POLL)
