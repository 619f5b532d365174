"""What was done to the mesh, when, and what it answered: one line an operation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from chassis.clock import SystemClock

# Arguments and answers as the operation has them.
Facts = Mapping[str, Any]


class Outcome(StrEnum):
    """What is known of an operation after its answer, or after none."""

    OK = "ok"
    # It definitely did not happen.
    FAIL = "fail"
    # It may have happened, or may yet happen.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of one client."""

    client: str
    op: str
    args: Facts
    begin: float
    end: float
    wall: str
    outcome: Outcome
    answer: Facts

    @property
    def is_ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def may_have_happened(self) -> bool:
        return self.outcome is not Outcome.FAIL

    def line(self) -> str:
        """As it stands in the file of the history."""
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A fault, from its start until the mesh was well again."""

    fault: str
    begin: float
    end: float
    """When the fault was taken away."""

    recovered: float | None
    """When everything was as usual; None when it was not in time."""

    said: str = ""
    """What the injection found wrong."""

    @property
    def until(self) -> float:
        return self.end if self.recovered is None else self.recovered

    def holds(self, operation: Operation) -> bool:
        """Whether the operation met the fault."""
        return operation.end >= self.begin and operation.begin <= self.until


class History:
    """All operations of a run, in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.operations: list[Operation] = []
        self._clock = SystemClock()
        self._file = path.open("w", encoding="utf-8")

    def now(self) -> float:
        return self._clock.monotonic()

    def add(
        self,
        client: str,
        op: str,
        args: Facts,
        *,
        begin: float,
        outcome: Outcome = Outcome.OK,
        answer: Facts | None = None,
    ) -> Operation:
        """Writes down an operation that ends now."""
        done = Operation(
            client=client,
            op=op,
            args=args,
            begin=begin,
            end=self.now(),
            wall=self._clock.now().isoformat(),
            outcome=outcome,
            answer=answer or {},
        )
        self.operations.append(done)
        self._file.write(done.line() + "\n")
        self._file.flush()
        return done

    def of(self, *ops: str) -> Iterator[Operation]:
        """The operations of these kinds, in the order of their ends."""
        return (one for one in self.operations if one.op in ops)

    def close(self) -> None:
        self._file.close()
