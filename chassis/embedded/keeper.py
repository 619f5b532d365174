"""The process between us and one engine.

It holds a pipe to us. When the pipe closes, whatever closed it (kill -9
included), it stops the engine: in good order if the engine manages that within
the grace period. The engine in turn dies with its keeper. Being a process of its
own, the keeper may be started from any thread, and it sits in a session of its
own, so that Ctrl-C in a terminal does not reach the engine.

It gets its orders as one line of JSON (`Orders`) on standard input and answers
with lines of JSON on standard output: `{"started": pid}`, `{"failed": why}`,
`{"exited": status}`. Imports the standard library only: it must start fast.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from chassis.embedded import credentials

READY = b"\0"


class Orders(TypedDict):
    """What to run, and how to end it."""

    argv: list[str]
    env: dict[str, str]
    folder: str
    """The engine's folder, which is also its working directory."""
    log: str
    prepare: list[str]
    """Run once before the first start; it is to make the folder `draft`."""
    draft: str
    made: str
    """What `draft` is renamed to, once it is whole."""
    stale: list[str]
    """Files that a killed engine leaves and that would hinder the next."""
    unprivileged: bool
    """The program refuses to run as root."""
    stop_signals: list[int]
    """Sent one after the other, each after `grace` seconds of patience."""
    grace: float
    lock_wait: float
    """How long the engine of an earlier, killed parent may take to be gone."""
    ephemeral: bool
    """Remove the folder when the engine has ended, and its parent with the last."""


class Failed(Exception):
    """The engine cannot be started, for the reason given."""


def tell(**fact: object) -> None:
    # Nobody listens any more when our parent was killed.
    with suppress(OSError):
        os.write(1, json.dumps(fact).encode() + b"\n")


def lock(folder: str, patience: float) -> None:
    """Take the folder for us and for every process that we start.

    The engine and its own children inherit the lock, so it is free only when all
    of them are gone; what they left behind is stale for certain.
    """
    fd = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(fd, True)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                owner = os.pread(fd, 32, 0).decode() or "unknown"
                raise Failed(
                    f"{folder} is in use by another process (keeper {owner.strip()})"
                ) from None
            time.sleep(0.05)
        else:
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
            return


class Keeper:
    """Starts programs one after the other and watches them and the pipe."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        # Ways of being unprivileged, the preferred one first; found out by trying.
        self._ways: list[Callable[[], None]] = [credentials.stay]
        if orders["unprivileged"] and os.geteuid() == 0:
            self._ways = [credentials.enter_namespace, credentials.become_nobody]
        self._wakeup, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._stopping = False
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def run(self) -> int:
        """Prepare the folder if need be, run the engine, return how it ended."""
        orders = self._orders
        if orders["prepare"] and not os.path.exists(orders["made"]):
            shutil.rmtree(orders["draft"], ignore_errors=True)
            status = self._watch(self._start(orders["prepare"]))
            if self._stopping:
                return status
            if status != 0:
                raise Failed(f"{orders['prepare'][0]} failed, see {orders['log']}")
            os.rename(orders["draft"], orders["made"])
        pid = self._start(orders["argv"])
        tell(started=pid)
        return self._watch(pid)

    def _start(self, argv: list[str]) -> int:
        while True:
            way = self._ways[0]
            if self._orders["unprivileged"] and os.geteuid() == 0:
                nobody = way is credentials.become_nobody
                own(self._orders["folder"], credentials.NOBODY if nobody else 0)
            try:
                return self._fork(argv, way)
            except Failed:
                if len(self._ways) == 1:
                    raise
                del self._ways[0]

    def _fork(self, argv: list[str], way: Callable[[], None]) -> int:
        """Start the program; Failed when it cannot be executed that way."""
        mapped, child_writes = os.pipe()  # The child is ready to be given ids,
        child_reads, go = os.pipe()  # and it has got them.
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(mapped)
            os.close(go)
            self._become(argv, way, keeper, child_reads, child_writes)
        os.close(child_reads)
        os.close(child_writes)
        try:
            why = os.read(mapped, 1000)
            if why == READY:
                if way is credentials.enter_namespace:
                    credentials.map_ids(pid)
                os.write(go, READY)
                # The program's start closes the pipe; all it can hold is an error.
                why = os.read(mapped, 1000)
            if why:
                raise Failed(f"cannot start {argv[0]}: {why.decode()}")
        except (OSError, Failed) as error:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Failed(str(error)) from error
        finally:
            os.close(mapped)
            os.close(go)
        return pid

    def _become(
        self,
        argv: list[str],
        way: Callable[[], None],
        keeper: int,
        reads: int,
        writes: int,
    ) -> None:
        """In the child: turn into the program. Does not return."""
        try:
            way()
            os.write(writes, READY)
            if os.read(reads, 1) != READY:
                os._exit(1)
            if way is not credentials.stay:
                credentials.keep_only_search()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            log = os.open(
                self._orders["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
            )
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(self._orders["folder"])
            os.umask(0o077)
            credentials.die_with_parent(signal.SIGKILL)
            if os.getppid() == keeper:
                os.execve(argv[0], argv, self._orders["env"])
        except BaseException as error:  # noqa: BLE001 - reported through the pipe
            os.write(writes, str(error).encode())
        finally:
            os._exit(1)

    def _watch(self, pid: int) -> int:
        """Wait for the program to end, ending it when the pipe closes."""
        pending = list(self._orders["stop_signals"])
        patience: float | None = None
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            watched = [self._wakeup] if self._stopping else [0, self._wakeup]
            wait = None if patience is None else max(0, patience - time.monotonic())
            ready, _, _ = select.select(watched, [], [], wait)
            if self._wakeup in ready:
                os.read(self._wakeup, 100)
            if 0 in ready:  # Told to stop, or our parent is gone.
                self._stopping = True
            due = patience is None or time.monotonic() >= patience
            if self._stopping and due:
                os.kill(pid, pending.pop(0) if pending else signal.SIGKILL)
                patience = time.monotonic() + self._orders["grace"]


def own(folder: str, uid: int) -> None:
    """Make the folder and all in it the property of `uid`."""
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in files)):
            if os.lstat(path).st_uid != uid:
                os.lchown(path, uid, -1)


def main() -> None:
    orders: Orders = json.loads(sys.stdin.buffer.readline())
    try:
        lock(orders["folder"], orders["lock_wait"])
        for stale in orders["stale"]:
            Path(stale).unlink(missing_ok=True)
        tell(exited=Keeper(orders).run())
    except Failed as failure:
        tell(failed=str(failure))
    except OSError as error:
        tell(failed=f"{type(error).__name__}: {error}")
    if orders["ephemeral"]:
        shutil.rmtree(orders["folder"], ignore_errors=True)
        with suppress(OSError):
            Path(orders["folder"]).parent.rmdir()


if __name__ == "__main__":
    main()
