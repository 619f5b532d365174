"""The audit trail, where nothing else is written with it."""

from chassis import audit
from chassis.postgres import Pool


class PostgresAuditTrail:
    """AuditTrail on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def done(self, *, who: str, what: str, target: str) -> None:
        await audit.record(self._pool, who=who, what=what, target=target, outcome="OK")

    async def refused(self, *, who: str, what: str, target: str, reason: str) -> None:
        await audit.record(
            self._pool, who=who, what=what, target=target, outcome=reason
        )
