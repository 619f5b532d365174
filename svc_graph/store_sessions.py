"""Sessions and refresh tokens."""

from collections.abc import Sequence
from datetime import datetime

from chassis import audit
from chassis.postgres import Pool, Transaction

from .model import NOBODY, Rotated, Rotation, SessionId, UserId

# The account's row is locked, so that no suspension passes between.
IS_ACTIVE = "SELECT state = 1 FROM graph_state WHERE user_id = $1 FOR SHARE"

ADD_SESSION = """
INSERT INTO session (session_id, user_id, created_at, expires_at)
VALUES ($1, $2, $3, $4)
"""

ADD_TOKEN = "INSERT INTO refresh_token (token_hash, session_id) VALUES ($1, $2)"

SESSION_OF = "SELECT session_id FROM refresh_token WHERE token_hash = $1"

# The session is the lock of all its tokens.
LOCK_SESSION = """
SELECT user_id, revoked_at, expires_at FROM session WHERE session_id = $1 FOR UPDATE
"""

IS_USED = "SELECT used_at IS NOT NULL FROM refresh_token WHERE token_hash = $1"

USE_TOKEN = "UPDATE refresh_token SET used_at = $2 WHERE token_hash = $1"

EXTEND = "UPDATE session SET expires_at = $2 WHERE session_id = $1"

REVOKE = """
UPDATE session SET revoked_at = $2 WHERE session_id = $1 AND revoked_at IS NULL
RETURNING user_id
"""

UNMARKED = """
SELECT session_id FROM session
WHERE revoked_at IS NOT NULL AND NOT is_marked AND revoked_at > $1
ORDER BY revoked_at
LIMIT $2
"""

SET_MARKED = "UPDATE session SET is_marked = true WHERE session_id = ANY($1::text[])"

# They were kept for the edge alone.
FORGET_DELETED = """
DELETE FROM session USING graph_state AS owner
WHERE session_id = ANY($1::text[])
    AND owner.user_id = session.user_id AND owner.state = 3
"""

PRUNE = """
WITH pruned AS (
    DELETE FROM session WHERE session_id IN (
        SELECT session_id FROM session WHERE expires_at < $1
        ORDER BY expires_at
        LIMIT $2
    )
    RETURNING 1
)
SELECT count(*) FROM pruned
"""

_UNKNOWN = Rotated(Rotation.UNKNOWN, SessionId(""), NOBODY)


class PostgresSessionRecords:
    """SessionRecords on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def open(
        self,
        session: SessionId,
        user: UserId,
        *,
        token_hash: bytes,
        now: datetime,
        expires_at: datetime,
    ) -> bool:
        async with self._pool.transaction() as tx:
            if not await tx.fetchval(IS_ACTIVE, user):
                return False
            await tx.execute(ADD_SESSION, session, user, now, expires_at)
            await tx.execute(ADD_TOKEN, token_hash, session)
            await _record(tx, user, "session.open")
        return True

    async def rotate(
        self,
        old_hash: bytes,
        new_hash: bytes,
        *,
        now: datetime,
        expires_at: datetime,
    ) -> Rotated:
        async with self._pool.transaction() as tx:
            session = await tx.fetchval(SESSION_OF, old_hash)
            if session is None:
                return _UNKNOWN
            row = await tx.fetchrow(LOCK_SESSION, session)
            if row is None:
                return _UNKNOWN
            user, revoked_at, session_end = row
            if revoked_at is not None or session_end <= now:
                return _UNKNOWN
            if await tx.fetchval(IS_USED, old_hash):
                await tx.execute(REVOKE, session, now)
                await _record(tx, user, "session.reuse")
                return Rotated(Rotation.REUSED, SessionId(session), user)
            await tx.execute(USE_TOKEN, old_hash, now)
            await tx.execute(ADD_TOKEN, new_hash, session)
            await tx.execute(EXTEND, session, expires_at)
        return Rotated(Rotation.ROTATED, SessionId(session), user)

    async def revoke(self, token_hash: bytes, *, now: datetime) -> SessionId | None:
        async with self._pool.transaction() as tx:
            session = await tx.fetchval(SESSION_OF, token_hash)
            if session is None:
                return None
            user = await tx.fetchval(REVOKE, session, now)
            if user is not None:
                await _record(tx, user, "session.revoke")
        return SessionId(session)

    async def unmarked(self, *, since: datetime, limit: int) -> list[SessionId]:
        rows = await self._pool.fetch(UNMARKED, since, limit)
        return [SessionId(row[0]) for row in rows]

    async def set_marked(self, sessions: Sequence[SessionId]) -> None:
        async with self._pool.transaction() as tx:
            await tx.execute(SET_MARKED, sessions)
            await tx.execute(FORGET_DELETED, sessions)

    async def prune(self, *, now: datetime, limit: int) -> int:
        pruned: int = await self._pool.fetchval(PRUNE, now, limit)
        return pruned


async def _record(tx: Transaction, user: UserId, what: str) -> None:
    await audit.record(
        tx, who=f"user:{user}", what=what, target=str(user), outcome="OK"
    )
