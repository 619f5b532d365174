"""Processes of a bench: started on free loopback ports, and ended by their id."""

import asyncio
import contextlib
import os
import random
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from chassis.embedded.engines import free_ports

from bench import cpu
from bench.ceilings import METHOD, Call

ROOT = Path(__file__).resolve().parents[1]
# Ends what it starts when we end, however that comes about.
TETHER = ROOT / "meshctl" / "tether.py"

START_SECONDS = 60.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class Ceiling:
    """A running process of bench.ceilings."""

    pid: int
    port: int

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def spent(self) -> cpu.Spent:
        return cpu.spent(self.pid)

    @contextlib.asynccontextmanager
    async def caller(self) -> AsyncIterator[Call]:
        """Calls the one method that there is."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            yield channel.unary_unary(METHOD)


@contextlib.asynccontextmanager
async def ceiling(role: str, *arguments: str) -> AsyncIterator[Ceiling]:
    """A ceiling that answers; its port is put before the arguments."""
    (port,) = free_ports(1)
    argv = ("-m", "bench.ceilings", role, str(port), *arguments)
    async with process(*argv) as started:
        async with asyncio.timeout(START_SECONDS):
            while not _answers(port):
                if started.returncode is not None:
                    raise RuntimeError(f"{role} ended with {started.returncode}")
                await asyncio.sleep(0.05)
        yield Ceiling(started.pid, port)


@contextlib.asynccontextmanager
async def process(
    *argv: str, env: Mapping[str, str] | None = None, output: int = DEVNULL
) -> AsyncIterator[Process]:
    """A Python process in the repository; asked to end at the end, then made to."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-S", "-I", str(TETHER), str(os.getpid())),
        *(sys.executable, *argv),
        stdin=DEVNULL,
        stdout=output,
        stderr=STDOUT if output == PIPE else None,
        env=env,
        cwd=ROOT,
        # Ctrl-C in a terminal is for us alone.
        start_new_session=True,
    )
    try:
        yield started
    finally:
        await asyncio.shield(_stop(started))


async def _stop(started: Process) -> None:
    if started.returncode is not None:
        return
    started.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            # Reading on keeps the pipe from filling meanwhile.
            await started.communicate()
    except TimeoutError:
        started.kill()
        await started.wait()


def free_offset(wanted: Iterable[int]) -> int:
    """By how much to shift ports so that all of them are free."""
    ports = list(wanted)
    for offset in random.sample(range(2_000, 9_000, 200), 30):
        if not any(_is_taken(port + offset) for port in ports):
            return offset
    raise RuntimeError("no free range of ports")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) == 0 or not _can_bind(port)


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
