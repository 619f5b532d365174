"""CPU time of running processes by what they are, read from /proc."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")

# "postgres: user database host(port) state" is a backend, and its database says whom
# it works for; "postgres: checkpointer" and the like work for all.
_BACKEND = re.compile(rb"postgres: \S+ (\S+) \S+\(\d+\)")
_KINDS = (
    (re.compile(rb"-m\0(svc_\w+|gateway_http|bench\.ceilings)"), ""),
    (re.compile(rb"keeper"), "meshctl"),
    (re.compile(rb"^postgres:|/postgres\0"), "postgres"),
    (re.compile(rb"valkey-server"), "valkey"),
    (re.compile(rb"nats-server"), "nats"),
    (re.compile(rb"meshctl"), "meshctl"),
)


class Spent:
    """CPU seconds by kind of process: svc_feed, valkey, postgres/svc_feed, …"""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def add(self, kind: str, seconds: float) -> None:
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds

    def __iadd__(self, other: "Spent") -> "Spent":
        for kind, seconds in other._seconds.items():
            self.add(kind, seconds)
        return self

    def since(self, before: "Spent") -> "Spent":
        """What was spent after `before` was read."""
        found = Spent()
        found += self
        for kind, seconds in before._seconds.items():
            found.add(kind, -seconds)
        return found

    def of(self, *kinds: str) -> float:
        """Seconds of these kinds together."""
        return sum(self._seconds.get(kind, 0.0) for kind in kinds)

    def without(self, *kinds: str) -> float:
        """Seconds of all the others."""
        return sum(self._seconds.values()) - self.of(*kinds)

    def each(self, calls: int) -> float:
        """Microseconds a call."""
        return sum(self._seconds.values()) / calls * 1e6

    def by_kind(self, calls: int) -> str:
        """Microseconds a call of each kind, largest first, but for what is small."""
        each = {kind: s / calls * 1e6 for kind, s in self._seconds.items()}
        shown = sorted((us, kind) for kind, us in each.items() if us >= 1)
        return ", ".join(f"{kind} {us:.0f}" for us, kind in reversed(shown))


def spent(pid: int) -> Spent:
    """User and system seconds of a process and all its descendants up to now.

    Children that ended are in the sums that their parents keep.
    """
    found = Spent()
    for one in tree(pid):
        found.add(_kind(one), _seconds(one))
    return found


def tree(pid: int) -> Iterator[int]:
    """The process and all its descendants, in whatever session they are."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    todo = [pid]
    while todo:
        one = todo.pop()
        yield one
        todo += children.get(one, [])


def _kind(pid: int) -> str:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "other"
    if backend := _BACKEND.match(line):
        return f"postgres/{backend[1].decode()}"
    for pattern, kind in _KINDS:
        if found := pattern.search(line):
            return kind or found[1].decode()
    return "other"


def _seconds(pid: int) -> float:
    # utime, stime, cutime and cstime.
    return sum(map(int, _stat(pid)[11:15])) / TICKS


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat behind the name; none when the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    # The name in brackets may hold spaces.
    return stat.rpartition(")")[2].split()
