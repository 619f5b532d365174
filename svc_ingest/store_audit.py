"""The audit trail: deletes, repairs, what services write in people's names."""

from collections.abc import Iterable
from contextvars import Context, copy_context
from typing import NamedTuple

from chassis import auth, context
from chassis.postgres import Statements

RECORD = """
INSERT INTO audit (at, who, what, target, outcome, request_id)
SELECT now(), who, what, target, 'OK', request_id
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    AS t (who, what, target, request_id)
"""


class Deed(NamedTuple):
    """Who did what, during which request."""

    who: str
    what: str
    target: str
    request_id: str


async def record(tx: Statements, what: str, target: int | str) -> None:
    """Adds what the current call does, with the transaction that does it."""
    await _record(tx, [_deed(what, target)])


async def record_acting(tx: Statements, what: str, target: int) -> None:
    """The same, where a service acts as a person; people alone are not recorded."""
    await record_acting_in(tx, [(copy_context(), what, target)])


async def record_acting_in(
    tx: Statements, deeds: Iterable[tuple[Context, str, int]]
) -> None:
    """As record_acting, of deeds that come from calls of their own."""
    await _record(
        tx,
        [
            call.run(_deed, what, target)
            for call, what, target in deeds
            if call.run(auth.caller).acting_for
        ],
    )


async def _record(tx: Statements, deeds: list[Deed]) -> None:
    if deeds:
        await tx.execute(RECORD, *map(list, zip(*deeds, strict=True)))


def _deed(what: str, target: int | str) -> Deed:
    caller = auth.caller()
    who = f"user:{caller.user_id}"
    if not caller.user_id:
        who = f"service:{caller.service}" if caller.service else caller.role.value
    elif caller.acting_for:
        who = f"service:{caller.service} for {who}"
    return Deed(who, what, str(target), context.request_id())
