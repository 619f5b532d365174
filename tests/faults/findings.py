"""What a checker finds, and what it looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from tests.faults.history import Operation, Window
from tests.faults.model import Posts, Relations

FINAL = "final"
WITHHELD = "END_REASON_WITHHELD"


class Harm(StrEnum):
    """The column of the report that a finding counts in."""

    LOST = "lost"
    LEAKED = "leaked"
    DOUBLED = "doubled"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An invariant that did not hold."""

    invariant: str
    """I1 to I12, or the fault whose own condition was not met."""

    text: str
    at: float
    """When it happened: the fault of that time is charged with it."""

    harm: Harm = Harm.OTHER


@dataclass(frozen=True)
class Evidence:
    """All that checkers may look at."""

    operations: Sequence[Operation]
    windows: Sequence[Window] = ()

    def of(self, *ops: str) -> Iterator[Operation]:
        return (one for one in self.operations if one.op in ops)

    def final(self, *ops: str) -> Iterator[Operation]:
        """Operations of the time when all was quiet."""
        return (one for one in self.of(*ops) if one.args.get("phase") == FINAL)

    @cached_property
    def posts(self) -> Posts:
        return Posts(self.operations)

    @cached_property
    def relations(self) -> Relations:
        return Relations(self.operations)

    @cached_property
    def sessions(self) -> list[list[Operation]]:
        """Paging sessions of home feeds: the pages that were answered, in order."""
        found: dict[int, list[Operation]] = defaultdict(list)
        for one in self.of("feed"):
            if one.is_ok:
                found[one.args["session"]].append(one)
        return [sorted(s, key=lambda page: page.args["page"]) for s in found.values()]


def is_whole(session: Sequence[Operation]) -> bool:
    """Whether it begins at the top, lacks no page and was not cut short."""
    numbers = [page.args["page"] for page in session]
    return numbers == list(range(len(session)))


def reaches_end(session: Sequence[Operation]) -> bool:
    """Whether there is nothing behind its last page, and nothing was withheld."""
    last = session[-1].answer
    return is_whole(session) and not last["token"] and last["end"] != WITHHELD
