"""Request records: a repeated request has one effect and one answer.

Both calls belong to the transaction that has the effect, so that record and effect
are there together or not at all.
"""

import asyncio
import hashlib
from datetime import datetime, timedelta

import structlog

from chassis.clock import Clock
from chassis.errors import Aborted, MeshError
from chassis.postgres import Pool, Statements

log = structlog.get_logger(__name__)

KEPT = timedelta(days=2)
_PRUNE_SECONDS = 600.0
_PRUNE_BATCH = 1000

# Waits for a transaction that claims the same key until it has ended.
CLAIM = """
INSERT INTO request_record (caller_id, method, key_hash, body_digest, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING true
"""

FIND = """
SELECT body_digest, response FROM request_record
WHERE caller_id = $1 AND method = $2 AND key_hash = $3
"""

KEEP = """
UPDATE request_record SET response = $4
WHERE caller_id = $1 AND method = $2 AND key_hash = $3
"""

PRUNE = """
DELETE FROM request_record WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM request_record WHERE created_at < $1
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""


class RequestRecords:
    """The table of request records."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def claim(
        self, tx: Statements, *, caller: int, method: str, key: str, digest: bytes
    ) -> bytes | None:
        """None to go on; the answer given before when the request was carried out.

        Raises Aborted when the key was used for a request of another digest.
        """
        where = (caller, method, _hash(key))
        if await tx.fetchval(CLAIM, *where, digest, self._clock.now()):
            return None
        row = await tx.fetchrow(FIND, *where)
        if row is None or row["response"] is None or row["body_digest"] != digest:
            raise Aborted(
                "REQUEST_ID_CONFLICT", "the request id was used with another request"
            )
        response: bytes = row["response"]
        return response

    async def keep(
        self, tx: Statements, *, caller: int, method: str, key: str, response: bytes
    ) -> None:
        """Keeps the answer to a claimed request."""
        await tx.execute(KEEP, caller, method, _hash(key), response)

    async def prune(self, pool: Pool, older_than: datetime) -> int:
        """Removes records made before; answers how many."""
        total = 0
        while True:
            tag = await pool.execute(PRUNE, older_than, _PRUNE_BATCH)
            count = int(tag.rsplit(" ", 1)[1])
            total += count
            if count < _PRUNE_BATCH:
                return total

    async def keep_pruned(self, pool: Pool) -> None:
        """Background loop of the worker role. Ends only when cancelled."""
        while True:
            try:
                await self.prune(pool, self._clock.now() - KEPT)
            except MeshError as error:
                log.warning("request_records_not_pruned", error=str(error))
            await asyncio.sleep(_PRUNE_SECONDS)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
