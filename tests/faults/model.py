"""Who may see whom at a given time, by what the history says was acknowledged.

It knows intervals and nothing of the product: an operation took effect at some time
between its begin and its end, one of unknown outcome at any time until all was quiet.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.faults.history import Facts, Operation, Outcome

FOLLOW, BLOCK, MUTE = "follow", "block", "mute"
# One operation of the history says that nothing of before can take effect any more.
SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write with all its tries: they have one key, and are one operation."""

    client: str
    args: Facts
    begin: float
    end: float
    """Its latest possible effect: infinite while that is not known."""

    outcome: Outcome
    answers: tuple[Facts, ...]
    """Of the tries that were answered."""

    @property
    def is_ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def may_have_happened(self) -> bool:
        return self.outcome is not Outcome.FAIL


def writes(operations: Iterable[Operation], *ops: str) -> list[Write]:
    """The writes of these kinds, in the order of their first tries."""
    settled = math.inf
    tries: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for one in operations:
        if one.op == SETTLED:
            settled = one.end
        elif one.op in ops:
            tries[one.client, one.args["key"]].append(one)
    found = [_write(together, settled) for together in tries.values()]
    return sorted(found, key=lambda write: write.begin)


def _write(tries: Sequence[Operation], settled: float) -> Write:
    ok = [one for one in tries if one.is_ok]
    unknown = [one for one in tries if one.outcome is Outcome.UNKNOWN]
    if ok:
        outcome, end = Outcome.OK, ok[0].end
    elif unknown:
        outcome, end = Outcome.UNKNOWN, max(settled, tries[-1].end)
    else:
        outcome, end = Outcome.FAIL, tries[-1].end
    return Write(
        client=tries[0].client,
        args=tries[0].args,
        begin=tries[0].begin,
        end=end,
        outcome=outcome,
        answers=tuple(one.answer for one in ok),
    )


@dataclass(frozen=True, slots=True)
class _Change:
    on: bool
    begin: float
    end: float
    is_ok: bool


class Relations:
    """Follows, blocks and mutes over time."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._changes: dict[tuple[str, int, int], list[_Change]] = defaultdict(list)
        for kind in (FOLLOW, BLOCK, MUTE):
            for write in writes(operations, kind):
                if write.may_have_happened:
                    self._add(kind, write)

    def _add(self, kind: str, write: Write) -> None:
        me, other, on = write.args["me"], write.args["other"], write.args["on"]
        change = _Change(on, write.begin, write.end, write.is_ok)
        self._changes[kind, me, other].append(change)
        if kind == BLOCK and on:
            # A block ends the follows of both.
            ended = _Change(False, write.begin, write.end, write.is_ok)
            self._changes[FOLLOW, me, other].append(ended)
            self._changes[FOLLOW, other, me].append(ended)

    def surely(
        self, kind: str, a: int, b: int, *, on: bool, begin: float, end: float
    ) -> bool:
        """Whether a's relation to b was on (off) all the time from begin to end."""
        return self.since(kind, a, b, on=on, begin=begin, end=end) is not None

    def since(
        self, kind: str, a: int, b: int, *, on: bool, begin: float, end: float
    ) -> float | None:
        """Since when a's relation to b was on (off) until `end`, when that is at
        least since `begin`; None when it may have been otherwise."""
        changes = self._changes.get((kind, a, b), [])
        settings = [-math.inf] if not on else []
        settings += [c.end for c in changes if c.on is on and c.is_ok and c.end < begin]
        # The latest one that no change to the contrary may have followed.
        for at in sorted(settings, reverse=True):
            begun = next((c.begin for c in changes if c.end == at), -math.inf)
            undone = (
                c for c in changes if c.on is not on and c.begin < end and c.end > begun
            )
            if not any(undone):
                return at
        return None

    def was_ever(self, kind: str, a: int, b: int, *, on: bool, before: float) -> bool:
        """Whether a may have set the relation so before a time."""
        changes = self._changes.get((kind, a, b), [])
        return any(c.on is on and c.begin < before for c in changes)

    def hides(self, viewer: int, author: int, begin: float, end: float) -> str:
        """Why nothing of the author may be read by the viewer; empty when it may."""
        for a, b in ((viewer, author), (author, viewer)):
            if self.surely(BLOCK, a, b, on=True, begin=begin, end=end):
                return f"{a} blocks {b}"
        return ""

    def hides_from_feed(
        self, viewer: int, author: int, begin: float, end: float
    ) -> str:
        """The same for the home feed."""
        if viewer == author:
            return ""
        if self.surely(FOLLOW, viewer, author, on=False, begin=begin, end=end):
            return f"{viewer} does not follow {author}"
        if self.surely(MUTE, viewer, author, on=True, begin=begin, end=end):
            return f"{viewer} mutes {author}"
        return self.hides(viewer, author, begin, end)

    def must_show(self, viewer: int, author: int, begin: float, end: float) -> bool:
        """Whether nothing can have hidden the author's posts from begin to end."""
        if viewer == author:
            return True
        return (
            self.surely(FOLLOW, viewer, author, on=True, begin=begin, end=end)
            and self.surely(MUTE, viewer, author, on=False, begin=begin, end=end)
            and self.surely(BLOCK, viewer, author, on=False, begin=begin, end=end)
            and self.surely(BLOCK, author, viewer, on=False, begin=begin, end=end)
        )


class Posts:
    """Every post that was acknowledged, and what became of it."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.writes = writes(operations, "post")
        self.attempted = {
            (w.args["me"], w.args["key"]) for w in self.writes if w.may_have_happened
        }
        self.acknowledged = {w.answers[0]["id"]: w for w in self.writes if w.is_ok}
        deletes = writes(operations, "delete")
        self._maybe_deleted = {
            w.args["post"]: w.begin for w in reversed(deletes) if w.may_have_happened
        }
        self.deleted = {w.args["post"]: w.end for w in reversed(deletes) if w.is_ok}

    def is_deleted(self, post: int, before: float) -> bool:
        """Whether its deletion was acknowledged before then."""
        return self.deleted.get(post, math.inf) < before

    def may_be_deleted(self, post: int, by: float = math.inf) -> bool:
        return post in self._maybe_deleted and self._maybe_deleted[post] <= by

    def author(self, post: int) -> int:
        return int(self.acknowledged[post].args["me"])
