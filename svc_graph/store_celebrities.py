"""The table of celebrities, but for the crossings that are part of a change."""

from chassis.postgres import Pool

from .model import UserId, Version
from .store_change import Changes
from .store_reach import ReachRule

# A deletion takes the row with it.
DROP = """
DELETE FROM celebrity WHERE NOT EXISTS (
    SELECT FROM graph_state AS graph
    WHERE graph.user_id = celebrity.user_id AND graph.state <> 3
)
"""

# Whose row says something else than the count, at a first look.
MISPLACED = """
SELECT user_id FROM graph_state
WHERE follower_count >= $1 AND state <> 3
    AND (SELECT leaving_version IS NULL FROM celebrity
        WHERE user_id = graph_state.user_id) IS NOT TRUE
UNION ALL
SELECT user_id FROM celebrity
WHERE leaving_version IS NULL
    AND (SELECT follower_count FROM graph_state
        WHERE user_id = celebrity.user_id) < $2
"""

COMPLETE = "DELETE FROM celebrity WHERE user_id = $1 AND leaving_version = $2"

IS_PULLED = "SELECT EXISTS (SELECT FROM celebrity WHERE user_id = $1)"

STEP = 100
"""People locked at once."""


class PostgresCelebrities:
    """Celebrities on Postgres."""

    def __init__(self, *, pool: Pool, changes: Changes, threshold: int) -> None:
        self._pool = pool
        self._changes = changes
        self._rule = ReachRule(threshold)

    async def recount(self) -> None:
        await self._pool.execute(DROP)
        rows = await self._pool.fetch(MISPLACED, self._rule.threshold, self._rule.floor)
        users = sorted(UserId(row[0]) for row in rows)
        for start in range(0, len(users), STEP):
            step = users[start : start + STEP]
            async with self._changes.locking(step) as change:
                change.is_bulk = True
                for user in step:
                    change.recount(user)

    async def complete(self, user: UserId, version: Version) -> bool:
        async with self._changes.locking((user,)) as change:
            done = await change.tx.execute(COMPLETE, user, version)
            if done != "DELETE 0":
                change.repull(user)
            return not await change.tx.fetchval(IS_PULLED, user)
