"""The table of celebrities as a whole; single crossings are part of a change."""

from chassis.postgres import Pool

from .store_change import LEAVE_SHARE

DROP = """
DELETE FROM celebrity WHERE NOT EXISTS (
    SELECT FROM graph_state AS graph
    WHERE graph.user_id = celebrity.user_id AND graph.follower_count >= $1
)
"""

ADD = """
INSERT INTO celebrity (user_id)
SELECT user_id FROM graph_state WHERE follower_count >= $1
ON CONFLICT DO NOTHING
"""


class PostgresCelebrities:
    """Celebrities on Postgres."""

    def __init__(self, *, pool: Pool, threshold: int) -> None:
        self._pool = pool
        self._threshold = threshold

    async def recount(self) -> None:
        async with self._pool.transaction() as tx:
            await tx.execute(DROP, int(self._threshold * LEAVE_SHARE))
            await tx.execute(ADD, self._threshold)
