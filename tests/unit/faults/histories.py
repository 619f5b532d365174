"""Hand-made histories: what operations a checker is shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from tests.faults.findings import FINAL, Evidence
from tests.faults.history import Operation, Outcome

ANN, BEN, CID = 1, 2, 3
LATEST = "ORDER_LATEST"

_numbers = count(1)


class Story:
    """Operations, one after the other, a second each."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.now = 0.0

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.operations)

    def add(
        self,
        op: str,
        me: int,
        answer: dict[str, Any],
        *,
        outcome: Outcome = Outcome.OK,
        took: float = 0.5,
        **args: Any,
    ) -> Story:
        """One operation that begins a second after the last one."""
        self.now += 1
        self.operations.append(
            Operation(
                client=f"client{me}",
                op=op,
                args={"me": me, **args},
                begin=self.now,
                end=self.now + took,
                wall="",
                outcome=outcome,
                answer=answer,
            )
        )
        return self

    def post(
        self, me: int, post: int, *, key: str = "", outcome: Outcome = Outcome.OK
    ) -> Story:
        """A post; its text is its key."""
        key = key or f"{me}-{post}"
        return self.add("post", me, item(post, me, key), outcome=outcome, key=key)

    def edge(
        self,
        kind: str,
        me: int,
        other: int,
        *,
        on: bool = True,
        outcome: Outcome = Outcome.OK,
    ) -> Story:
        key = f"edge{next(_numbers)}"
        return self.add(kind, me, {}, outcome=outcome, key=key, other=other, on=on)

    def delete(self, me: int, post: int, *, outcome: Outcome = Outcome.OK) -> Story:
        key = f"delete{post}"
        return self.add("delete", me, {}, outcome=outcome, key=key, post=post)

    def feed(
        self,
        me: int,
        posts: Sequence[tuple[int, int]],
        *,
        order: str = LATEST,
        session: int = 0,
        page: int = 0,
        token: bool = False,
        end: str | None = None,
        phase: str = "",
        took: float = 0.5,
        source: str = "SERVED_FROM_HOT",
    ) -> Story:
        """A page with these posts, by id and author."""
        last = "" if token else "END_REASON_COMPLETE"
        return self.add(
            "feed",
            me,
            {
                "status": 200,
                "items": [item(post, by) for post, by in posts],
                "token": token,
                "as": "SERVED_AS_LATEST",
                "from": source,
                "end": last if end is None else end,
            },
            took=took,
            session=session or next(_numbers) + 1_000,
            page=page,
            order=order,
            size=20,
            phase=phase,
        )

    def listed(self, me: int, *posts: int, keys: Sequence[str] = ()) -> Story:
        """The author's own list in the end."""
        texts = keys or [f"{me}-{post}" for post in posts]
        shown = [item(p, me, text) for p, text in zip(posts, texts, strict=True)]
        answer = {"status": 200, "items": shown}
        return self.add("user_posts", me, answer, author=me, phase=FINAL)

    def read(self, me: int, post: int, by: int, *, phase: str = "") -> Story:
        """One post, as it is answered."""
        return self.add(
            "get_post", me, {"status": 200, **item(post, by)}, post=post, phase=phase
        )

    def event(self, me: int, position: str, kind: str, post: int = 0) -> Story:
        return self.add(
            "event", me, {"position": position, "kind": kind, "id": post, "by": 0}
        )


def item(post: int, by: int, text: str = "") -> dict[str, Any]:
    return {
        "id": post,
        "by": by,
        "text": text or f"{by}-{post}",
        "reason": "",
        "counts": [0, 0, 0],
    }
