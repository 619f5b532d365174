"""All three engines together, under one folder."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chassis.embedded import nats, postgres, valkey
from chassis.embedded.child import Child, EngineError

NAMES = ("postgres", "valkey", "nats")


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the engines listen, on the loopback interface."""

    postgres: int = 15432

    valkey: int = 16379

    nats: int = 14222

    nats_monitor: int = 18222
    """NATS answers questions about itself here, over HTTP."""

    def shifted(self, offset: int) -> Ports:
        """The same ports, each `offset` higher."""
        return Ports(
            postgres=self.postgres + offset,
            valkey=self.valkey + offset,
            nats=self.nats + offset,
            nats_monitor=self.nats_monitor + offset,
        )

    @classmethod
    def free(cls) -> Ports:
        """Four ports that nobody listens on."""
        one, two, three, four = free_ports(4)
        return cls(postgres=one, valkey=two, nats=three, nats_monitor=four)


class Engines:
    """The running engines. Each can be stopped and started again by itself."""

    def __init__(self, *, folder: Path, ports: Ports, children: dict[str, Child]):
        self._children = children
        self.folder = folder
        self.ports = ports

    @property
    def postgres_url(self) -> str:
        """The server; the password in it makes it a secret, as in all three."""
        return postgres.url(self.folder / "postgres", port=self.ports.postgres)

    @property
    def valkey_url(self) -> str:
        return valkey.url(self.folder / "valkey", port=self.ports.valkey)

    @property
    def nats_url(self) -> str:
        return nats.url(self.folder / "nats", port=self.ports.nats)

    @property
    def pids(self) -> dict[str, int]:
        """The engines' process ids by name; 0 for one that is stopped."""
        return {name: child.pid for name, child in self._children.items()}

    def is_running(self, name: str) -> bool:
        return self._children[name].is_running

    def start(self, *names: str, timeout: float = 30) -> None:
        """Start these engines, or all, side by side; wait until they answer.

        EngineError tells of the first one that did not start; none is stopped.
        """
        chosen = [self._children[name] for name in names or self._children]
        _side_by_side([partial(child.start, timeout=timeout) for child in chosen])

    def stop(self, *names: str) -> None:
        """Stop these engines, or all, side by side and in good order."""
        _side_by_side([self._children[name].stop for name in names or self._children])


@contextmanager
def open_engines(
    folder: Path,
    ports: Ports,
    *,
    only: tuple[str, ...] = NAMES,
    ephemeral: bool = False,
    timeout: float = 30,
    connections: int = 200,
) -> Iterator[Engines]:
    """The engines, from ready to stopped. Blocks, so asyncio calls it in a thread.

    Data and passwords stay under `folder`, one folder an engine, for the next
    start; an ephemeral one is removed even when we are killed. Postgres takes so
    many connections.
    """
    folder = folder.absolute()
    programs = {
        "postgres": lambda at: postgres.program(
            at, port=ports.postgres, connections=connections
        ),
        "valkey": lambda at: valkey.program(at, port=ports.valkey),
        "nats": lambda at: nats.program(
            at, port=ports.nats, monitor_port=ports.nats_monitor
        ),
    }
    children = {}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in only:
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        program = programs[name](folder / name)
        children[name] = Child(program=program, ephemeral=ephemeral)
    engines = Engines(folder=folder, ports=ports, children=children)
    try:
        engines.start(timeout=timeout)
        yield engines
    finally:
        engines.stop()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those that connections are given at random.

    Nothing keeps them: an engine must find its port free again after a restart,
    and a port from the usual range may by then be some connection's own.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 14_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def _side_by_side(calls: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(max(1, len(calls))) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()


__all__ = ["NAMES", "EngineError", "Engines", "Ports", "free_ports", "open_engines"]
