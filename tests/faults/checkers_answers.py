"""I11, and I4 of a cancel storm: honest failures, and answers for who asked."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.findings import Evidence, Finding, Harm
from tests.faults.history import Operation

# Seconds by the contract. What is asked of the machine's two cores, and what a
# starving client adds, is in the slack.
DEADLINES = {"feed": 1.0, "get_post": 1.5, "user_posts": 1.5, "sync": 1.5}
WRITE_DEADLINE = 2.0
SLACK = 1.5


def failures_are_honest(evidence: Evidence) -> Iterator[Finding]:
    """I11: an error is labelled and comes before its deadline; a page without a next
    one says why."""
    for one in evidence.operations:
        status = one.answer.get("status")
        if status is None or one.op in ("event", "sample"):
            continue
        deadline = DEADLINES.get(one.op, WRITE_DEADLINE) + SLACK
        took = one.end - one.begin
        if status == 0 or took > deadline:
            text = f"{one.op} of {one.client} took {took:.1f} s: {one.answer}"
            yield Finding(invariant="I11", text=text[:300], at=one.end)
        elif status >= 400 and (status == 500 or not one.answer.get("reason")):
            text = f"{one.op} of {one.client}: {one.answer}, unlabelled"
            yield Finding(invariant="I11", text=text, at=one.end)
        elif one.op == "feed" and one.is_ok:
            yield from _silently_cut(one)


def _silently_cut(page: Operation) -> Iterator[Finding]:
    answer = page.answer
    named = answer["end"] not in ("", "END_REASON_UNSPECIFIED")
    if answer["token"] == named or not answer["as"] or not answer["from"]:
        yield Finding(
            invariant="I11",
            text=f"a page of {page.client} ends without a reason: "
            f"{ {k: v for k, v in answer.items() if k != 'items'} }",
            at=page.end,
        )


def cancelled_calls_poison_nothing(evidence: Evidence) -> Iterator[Finding]:
    """I4, I10: every answer of a cancel storm is its asker's."""
    for answered in evidence.of("storm"):
        if answered.answer["asked"] != answered.answer["got"]:
            yield Finding(
                invariant="I4",
                text=f"{answered.args} asked for {answered.answer['asked']}"
                f" and got {answered.answer['got']}",
                at=answered.end,
                harm=Harm.LEAKED,
            )
