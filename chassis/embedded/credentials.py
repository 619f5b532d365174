"""Running a program unprivileged though we are root: Postgres refuses root.

A user namespace is the first choice: to the file system the program stays root,
to itself it is another user, so nothing changes its owner and no parent folder
has to let strangers pass. Where namespaces are forbidden (containers), the
program becomes `nobody` and owns its files. In both cases it may look into
folders that are not its own, as the checkout may lie in somebody's home.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NOBODY = 65534

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def die_with_parent(signal: int) -> None:
    """Have the kernel send us `signal` when our parent ends.

    A change of credentials clears this, so it comes after them.
    """
    if sys.platform == "linux":
        _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0))


def stay() -> None:
    """Remain who we are."""


def enter_namespace() -> None:
    """Be in a user namespace of our own; without ids until they are mapped."""
    _check(_libc.unshare(_CLONE_NEWUSER))


def map_ids(pid: int) -> None:
    """Give the namespace of `pid` every id there is, with root swapped for id 1.

    Written from outside, since only our namespace has the right to map more than
    one id; all are mapped because a capability counts only over files whose owner
    is.
    """
    for kind, swap in (("gid_map", False), ("uid_map", True)):
        known = Path("/proc/self", kind).read_text().split("\n")
        ranges = [
            (int(inside), int(count))
            for inside, _, count in (line.split() for line in known if line)
        ]
        lines = swapped(ranges) if swap else [(id_, id_, n) for id_, n in ranges]
        # In one write: a second one is refused.
        text = "".join(f"{inside} {outside} {n}\n" for inside, outside, n in lines)
        Path(f"/proc/{pid}/{kind}").write_text(text)


def swapped(ranges: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """The ranges as (inside, outside, count), with ids 0 and 1 exchanged."""
    lines = [(1, 0, 1)]
    for start, count in ranges:
        end = start + count
        if start <= 1 < end:
            lines.append((0, 1, 1))
        low = max(start, 2)
        if low < end:
            lines.append((low, low, end - low))
    return lines


def become_nobody() -> None:
    """Change to the user nobody, for good."""
    _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def keep_only_search() -> None:
    """Drop all capabilities but the one to pass through folders of others."""
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        try:
            _set_capabilities(1 << capability)
        except PermissionError:
            continue  # We never had it; a container may withhold either.
        raised = (_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)
        _check(_libc.prctl(*raised))
        return
    _set_capabilities(0)


def _set_capabilities(mask: int) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable, first the lower 32, then the upper.
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    _check(_libc.capset(header, data))
