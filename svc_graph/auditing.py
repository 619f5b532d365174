"""Refused attempts at audited actions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.errors import MeshError

from .ports import AuditTrail


@asynccontextmanager
async def audited(
    trail: AuditTrail, *, who: str, what: str, target: object
) -> AsyncIterator[None]:
    """Adds a row to the trail when the block is refused.

    What succeeds is written by the store, in the transaction of the change: either
    way an attempt leaves exactly one row.
    """
    try:
        yield
    except MeshError as error:
        await trail.refused(who=who, what=what, target=str(target), reason=error.reason)
        raise
