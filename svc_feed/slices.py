"""Stretches of a feed: what is known of it from one place, and from several."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import neg
from typing import NamedTuple

from .model import BELOW_ALL, Entry, PostId


class Slice(NamedTuple):
    """A stretch of a feed without a gap."""

    entries: Sequence[Entry]
    """Newest first."""

    before: PostId
    """Where the next stretch goes on."""

    is_end: bool
    """Nothing older is there."""


class Run(NamedTuple):
    """What one place holds of a stretch."""

    entries: Sequence[Entry]
    """Newest first, each once."""

    is_end: bool
    """It holds nothing older. Where it does, `entries` is not empty."""


def merge(runs: Iterable[Run], *, before: PostId, limit: int) -> Slice:
    """Joins runs as far down as all of them reach.

    A run that holds more than it gave says nothing about what is older than its last
    entry, so the slice ends at the highest such floor.
    """
    floor = BELOW_ALL
    found: dict[PostId, Entry] = {}
    for run in runs:
        if not run.is_end:
            floor = max(floor, run.entries[-1].post_id)
        for entry in run.entries:
            found[entry.post_id] = entry
    ids = sorted(found, reverse=True)
    if floor:
        ids = ids[: bisect_right(ids, -floor, key=neg)]
    entries = [found[post_id] for post_id in ids[: limit + 1]]
    if len(entries) > limit:
        return Slice(entries[:limit], entries[limit - 1].post_id, is_end=False)
    if floor:
        return Slice(entries, floor, is_end=False)
    return Slice(entries, entries[-1].post_id if entries else before, is_end=True)


def below(entries: Sequence[Entry], before: PostId, limit: int) -> Run:
    """The part of a list, newest first, that is older than `before`."""
    start = bisect_right(entries, -before, key=_newest_first)
    return Run(entries[start : start + limit], start + limit >= len(entries))


def cut(part: Slice, edge: PostId) -> tuple[Slice, bool]:
    """A stretch without what is older than the edge, and whether there was any."""
    if not part.entries or part.entries[-1].post_id >= edge:
        return part, False
    kept = [entry for entry in part.entries if entry.post_id >= edge]
    return Slice(kept, kept[-1].post_id if kept else part.before, is_end=True), True


def _newest_first(entry: Entry) -> int:
    return -entry.post_id
