"""Request records by the batch, and looked up without claiming them.

One by one they are claimed by chassis.idempotency, in the same table.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from chassis.errors import Aborted
from chassis.postgres import Statements

from .model import PostId, RequestKey

# Caller, method, hash of the key.
Key = tuple[int, str, bytes]

# Sorted, so that two batches take their locks in one order. A key that another
# transaction is just inserting is waited for.
CLAIM = """
INSERT INTO request_record
    (caller_id, method, key_hash, body_digest, response, created_at)
SELECT caller_id, method, key_hash, body_digest, response, $6
FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])
    AS t (caller_id, method, key_hash, body_digest, response)
ORDER BY caller_id, method, key_hash
ON CONFLICT (caller_id, method, key_hash) DO NOTHING
RETURNING caller_id, method, key_hash
"""

CLAIMED = """
SELECT r.caller_id, r.method, r.key_hash, r.body_digest, r.response
FROM request_record r
JOIN unnest($1::bigint[], $2::text[], $3::bytea[]) AS t (caller_id, method, key_hash)
    USING (caller_id, method, key_hash)
"""

REDIRECT = """
UPDATE request_record SET response = $4
WHERE caller_id = $1 AND method = $2 AND key_hash = $3
"""

RELEASE = """
DELETE FROM request_record
WHERE caller_id = $1 AND method = $2 AND key_hash = $3
"""


async def claim(
    tx: Statements, requests: Sequence[tuple[RequestKey, PostId]], *, now: datetime
) -> dict[Key, tuple[bytes, PostId]]:
    """Claims the keys for these posts, each key once.

    Answers digest and post of those that an earlier request holds.
    """
    keys = [key_of(request) for request, _ in requests]
    columns = _columns(keys)
    ours = await tx.fetch(
        CLAIM,
        *columns,
        [request.digest for request, _ in requests],
        [packed(post_id) for _, post_id in requests],
        now,
    )
    if len(ours) == len(requests):
        return {}
    won = {(row[0], row[1], row[2]) for row in ours}
    rows = await tx.fetch(CLAIMED, *columns)
    return {
        (row[0], row[1], row[2]): (row["body_digest"], unpacked(row["response"]))
        for row in rows
        if (row[0], row[1], row[2]) not in won
    }


async def earlier(statements: Statements, request: RequestKey) -> bytes | None:
    """What was kept for an earlier request of this key; None when there was none.

    Raises Aborted REQUEST_ID_CONFLICT when that was another request.
    """
    rows = await statements.fetch(CLAIMED, *_columns([key_of(request)]))
    if not rows:
        return None
    if rows[0]["body_digest"] != request.digest:
        raise Aborted("REQUEST_ID_CONFLICT")
    kept: bytes | None = rows[0]["response"]
    return kept


async def redirect(tx: Statements, request: RequestKey, post_id: PostId) -> None:
    """Another post answers this request: the share that was there before."""
    await tx.execute(REDIRECT, *key_of(request), packed(post_id))


async def release(tx: Statements, request: RequestKey) -> None:
    """The request stored nothing: its key is free again."""
    await tx.execute(RELEASE, *key_of(request))


def key_of(request: RequestKey) -> Key:
    """The key as it is stored: what a caller chose is kept as a hash."""
    digest = hashlib.sha256(request.key.encode()).digest()
    return request.caller, request.method, digest


def packed(identifier: int) -> bytes:
    """What is kept of an answer: the id, never what somebody wrote."""
    return identifier.to_bytes(8, "big")


def unpacked(response: bytes) -> PostId:
    return PostId(int.from_bytes(response, "big"))


def _columns(keys: Iterable[Key]) -> list[list[object]]:
    return [list(column) for column in zip(*keys, strict=True)]
