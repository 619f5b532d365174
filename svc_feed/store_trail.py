"""The audit trail, in the database of the first shard."""

from __future__ import annotations

from chassis import audit
from chassis.postgres import Pool


class PostgresTrail:
    """Trail on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def record(self, *, who: str, what: str, target: str, outcome: str) -> None:
        await audit.record(
            self._pool, who=who, what=what, target=target, outcome=outcome
        )
