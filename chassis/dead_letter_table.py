"""The table dead_letter of a room's database."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from chassis.dead_letters import DeadLetter
from chassis.errors import NotFound
from chassis.postgres import Pool

# As long as the stream keeps them.
KEPT = timedelta(days=30)

KEEP = """
INSERT INTO dead_letter (
    durable, subject, sequence, stored_at, event_id, author_ids, reader_ids,
    payload, attempts, error, message, trace, request_id, died_at
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (durable, sequence, stored_at) DO NOTHING
"""

DROP_OLD = "DELETE FROM dead_letter WHERE died_at < $1"

_COLUMNS = """
SELECT id, durable, subject, sequence, stored_at, event_id, author_ids, reader_ids,
    payload, attempts, error, message, trace, request_id, died_at, replayed_at
FROM dead_letter
"""

FIND = f"""{_COLUMNS}
WHERE ($1::bigint IS NULL OR $1 = ANY(author_ids))
    AND ($2::bigint IS NULL OR $2 = ANY(reader_ids))
    AND ($3::timestamptz IS NULL OR died_at >= $3)
    AND ($4 = '' OR event_id = $4)
    AND NOT ($5 AND replayed_at IS NOT NULL)
ORDER BY died_at DESC, id DESC
LIMIT $6
"""

GET = f"{_COLUMNS} WHERE id = $1"

MARK = """
UPDATE dead_letter SET replayed_at = $4
WHERE durable = $1 AND sequence = $2 AND stored_at = $3
"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which letters are asked for; all conditions hold for each."""

    author_id: int | None = None
    reader_id: int | None = None

    since: datetime | None = None
    """Died then or later."""

    event_id: str = ""

    only_waiting: bool = False
    """Without those that were replayed."""

    limit: int = 50


class DeadLetterTable:
    """The letters of one database."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, letter: DeadLetter) -> None:
        """Adds a letter unless it is there; drops those past their time."""
        await self._pool.execute(
            KEEP,
            letter.durable,
            letter.subject,
            letter.sequence,
            letter.stored_at,
            letter.event_id,
            list(letter.author_ids),
            list(letter.reader_ids),
            letter.payload,
            letter.attempts,
            letter.error,
            letter.message,
            letter.trace,
            letter.request_id,
            letter.died_at,
        )
        await self._pool.execute(DROP_OLD, letter.died_at - KEPT)

    async def find(self, wanted: Wanted) -> list[DeadLetter]:
        """The letters asked for, newest first."""
        rows = await self._pool.fetch(
            FIND,
            wanted.author_id,
            wanted.reader_id,
            wanted.since,
            wanted.event_id,
            wanted.only_waiting,
            wanted.limit,
        )
        return [_letter(row) for row in rows]

    async def get(self, number: int) -> DeadLetter:
        """One letter. Raises NotFound."""
        row = await self._pool.fetchrow(GET, number)
        if row is None:
            raise NotFound("INTERNAL", f"there is no dead letter {number}")
        return _letter(row)

    async def mark_replayed(self, letter: DeadLetter, at: datetime) -> None:
        """Notes that a letter was published again, if it is in this table: another
        room's may have it as well."""
        await self._pool.execute(
            MARK, letter.durable, letter.sequence, letter.stored_at, at
        )


def _letter(row: asyncpg.Record) -> DeadLetter:
    return DeadLetter(
        number=row["id"],
        durable=row["durable"],
        subject=row["subject"],
        sequence=row["sequence"],
        stored_at=row["stored_at"],
        payload=row["payload"],
        attempts=row["attempts"],
        error=row["error"],
        message=row["message"],
        trace=row["trace"],
        request_id=row["request_id"],
        died_at=row["died_at"],
        replayed_at=row["replayed_at"],
        event_id=row["event_id"],
        author_ids=tuple(row["author_ids"]),
        reader_ids=tuple(row["reader_ids"]),
    )
