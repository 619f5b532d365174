"""The table of a run, and what was found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.faults.faults import Fault
from tests.faults.findings import Evidence, Finding, Harm
from tests.faults.history import Window
from tests.faults.measures import gone_for_a_moment, left_in_the_index, times_missing
from tests.faults.model import writes

WRITES = ("post", "delete", "like", "comment", "follow", "block", "mute")
# Of each kind of finding; all are in the history.
SHOWN = 8

_out = Console(width=120, highlight=False, soft_wrap=True, markup=False)


def say(text: str) -> None:
    """A line, seen at once."""
    _out.print(text)
    _out.file.flush()


def charged(finding: Finding, windows: Sequence[Window]) -> str:
    """The fault during which it happened, or the last one before."""
    before = [window for window in windows if window.begin <= finding.at]
    return before[-1].fault if before else ""


def table(
    evidence: Evidence, findings: Sequence[Finding], wanted: Sequence[Fault]
) -> Table:
    """One row a fault."""
    made = Table(title="fault run", box=None, pad_edge=False)
    made.add_column("fault")
    made.add_column("what")
    columns = ("injected", "acknowledged", "lost", "leaked", "doubled", "well after")
    for name in columns:
        made.add_column(name, justify="right")
    done = [write.end for write in writes(evidence.operations, *WRITES) if write.is_ok]
    harms = Counter((charged(f, evidence.windows), f.harm) for f in findings)
    for fault in wanted:
        windows = [w for w in evidence.windows if w.fault == fault.name]
        acknowledged = sum(w.begin <= at <= w.until for w in windows for at in done)
        made.add_row(
            fault.name,
            fault.what,
            str(len(windows)),
            str(acknowledged),
            *(
                str(harms[fault.name, harm])
                for harm in (Harm.LOST, Harm.LEAKED, Harm.DOUBLED)
            ),
            _recovery(windows),
        )
    return made


def _recovery(windows: Sequence[Window]) -> str:
    """The longest of a fault."""
    if not windows:
        return "-"
    if any(window.recovered is None for window in windows):
        return "never"
    return f"{max(window.until - window.end for window in windows):.1f} s"


def tell(
    evidence: Evidence, findings: Sequence[Finding], wanted: Sequence[Fault]
) -> None:
    """Prints the table, how long posts took, and what was found."""
    _out.print(table(evidence, findings, wanted))
    say("")
    acknowledged = sum(w.is_ok for w in writes(evidence.operations, *WRITES))
    say(f"{len(evidence.operations)} operations, {acknowledged} writes acknowledged")
    if times := times_missing(evidence):
        parts = [
            f"p50 {times[len(times) // 2]:.2f} s",
            f"p99 {times[int(len(times) * 0.99)]:.2f} s",
            f"most {times[-1]:.2f} s",
        ]
        say(f"followers' top pages lacked a post for: {', '.join(parts)}")
    cores, load = os.cpu_count() or 1, os.getloadavg()[1]
    say(f"load of the last 5 minutes: {load:.1f} on {cores} cores")
    if moments := gone_for_a_moment(evidence):
        say(f"seen while on its way and gone again for a moment: {moments} times")
    if left := left_in_the_index(evidence):
        say(f"deleted posts whose ids the feed index still has: {left}")
    if not findings:
        say("no violation")
        return
    say("")
    by_kind = Counter(finding.invariant for finding in findings)
    for invariant, count in sorted(by_kind.items()):
        say(f"{invariant}: {count} violations")
        first = [f for f in findings if f.invariant == invariant][:SHOWN]
        for finding in first:
            fault = charged(finding, evidence.windows)
            say(f"  at {finding.at:.2f}, {fault or 'before any fault'}: {finding.text}")
