"""The audit trail: who did what to whom. Rows are added and never changed."""

from chassis import context
from chassis.postgres import Statements

RECORD = """
INSERT INTO audit (at, who, what, target, outcome, request_id)
VALUES (now(), $1, $2, $3, $4, $5)
"""


async def record(
    statements: Statements, *, who: str, what: str, target: str, outcome: str
) -> None:
    """Adds one row: with a transaction it is there if and only if the deed is.

    `what` is a method or a deed of ours, `target` names a thing by its id. Nothing
    that a person wrote belongs in any of them.
    """
    await statements.execute(RECORD, who, what, target, outcome, context.request_id())
