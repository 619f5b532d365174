"""Rows of the outbox on their way out: claimed, published, marked."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from chassis.postgres import Transaction

IN_FLIGHT = 256
# Of these so many are kept for the newest events while many wait.
FOR_NEWEST = 64

# What waits, and how far the stream must reach.
BEFORE = """
SELECT (SELECT min(id) FROM outbox WHERE published_at IS NULL) AS oldest,
    (SELECT max(stream_sequence) FROM outbox WHERE published_at IS NOT NULL) AS mark
"""

CLAIM = """
SELECT id, subject, payload, trace, request_id, stream_sequence FROM outbox
WHERE published_at IS NULL
ORDER BY id
LIMIT $1
FOR UPDATE SKIP LOCKED
"""

CLAIM_NEWEST = """
SELECT id, subject, payload, trace, request_id, stream_sequence FROM outbox
WHERE published_at IS NULL AND id > $2
ORDER BY id DESC
LIMIT $1
FOR UPDATE SKIP LOCKED
"""

# The array prunes partitions; the join alone would look into all of them.
MARK = """
UPDATE outbox SET published_at = $3, stream_sequence = stored.sequence
FROM unnest($1::bigint[], $2::bigint[]) AS stored (id, sequence)
WHERE outbox.id = stored.id AND outbox.id = ANY($1)
"""


async def claim(tx: Transaction) -> list[asyncpg.Record]:
    """The oldest that wait, for as long as the transaction lasts; while they are
    many, the newest too: what was lost and comes again must not hold up what happens
    now."""
    rows = await tx.fetch(CLAIM, IN_FLIGHT - FOR_NEWEST)
    if is_full(rows):
        rows += await tx.fetch(CLAIM_NEWEST, FOR_NEWEST, rows[-1]["id"])
    return rows


def is_full(rows: Sequence[asyncpg.Record]) -> bool:
    """Whether there may be more than was claimed."""
    return len(rows) >= IN_FLIGHT - FOR_NEWEST


async def mark(
    tx: Transaction, stored: Sequence[tuple[int, int]], at: datetime
) -> None:
    """Notes for rows, by id, the sequences that the stream gave them."""
    if stored:
        rows, sequences = (list(column) for column in zip(*stored, strict=True))
        await tx.execute(MARK, rows, sequences, at)
