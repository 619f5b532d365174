"""Passwords, as hashes."""

from chassis.postgres import Pool

from .model import Credential, UserId, UserState

CREDENTIAL = """
SELECT account.user_id, password_hash, state
FROM account JOIN graph_state AS graph ON graph.user_id = account.user_id
LEFT JOIN credential ON credential.user_id = account.user_id
WHERE account.handle = $1
"""

CREDENTIAL_OF = """
SELECT account.user_id, password_hash, state
FROM account JOIN graph_state AS graph ON graph.user_id = account.user_id
LEFT JOIN credential ON credential.user_id = account.user_id
WHERE account.user_id = $1
"""


class PostgresCredentials:
    """Credentials on Postgres. They are written with their account."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def of_handle(self, handle: str) -> Credential | None:
        return await self._found(CREDENTIAL, handle)

    async def of_user(self, user: UserId) -> Credential | None:
        return await self._found(CREDENTIAL_OF, user)

    async def _found(self, sql: str, whom: str | UserId) -> Credential | None:
        row = await self._pool.fetchrow(sql, whom)
        return Credential(row[0], row[1], UserState(row[2])) if row else None
