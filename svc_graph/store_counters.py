"""The counts of follows against the follows themselves."""

from collections.abc import Iterator, Sequence

from chassis.postgres import Pool

from .model import Checked, Drift, UserId
from .store_change import Changes

# Counts and follows of one snapshot: whoever writes does both in one transaction.
COUNT = """
SELECT state.user_id, state.follower_count, state.following_count,
    (SELECT count(*) FROM follow WHERE followee_id = state.user_id),
    (SELECT count(*) FROM follow WHERE follower_id = state.user_id)
FROM (
    SELECT user_id, follower_count, following_count FROM graph_state
    WHERE user_id > $1
    ORDER BY user_id
    LIMIT $2
) AS state
ORDER BY state.user_id
"""

# The same of people who are locked: nobody else counts them, or adds follows of them.
COUNT_THESE = """
SELECT state.user_id, state.follower_count, state.following_count,
    (SELECT count(*) FROM follow WHERE followee_id = state.user_id),
    (SELECT count(*) FROM follow WHERE follower_id = state.user_id)
FROM graph_state AS state
WHERE state.user_id = ANY($1::bigint[])
ORDER BY state.user_id
"""

REPAIR = """
UPDATE graph_state AS state
SET follower_count = counted.followers, following_count = counted.following
FROM unnest($1::bigint[], $2::int[], $3::int[])
    AS counted (user_id, followers, following)
WHERE state.user_id = counted.user_id
"""

Row = tuple[UserId, int, int, int, int]


class PostgresCounters:
    """Counters on Postgres."""

    def __init__(self, *, pool: Pool, changes: Changes) -> None:
        self._pool = pool
        self._changes = changes

    async def check(self, *, after: UserId, limit: int) -> Checked:
        rows = [tuple(row) for row in await self._pool.fetch(COUNT, after, limit)]
        last = rows[-1][0] if rows else after
        return Checked(len(rows), last, list(_drifts(rows)))

    async def repair(self, users: Sequence[UserId], *, who: str) -> list[Drift]:
        async with self._changes.locking(users) as change:
            # A statement after the locks: it sees what was committed before them.
            found = await change.tx.fetch(COUNT_THESE, users)
            wrong = [row for row in map(tuple, found) if row[1:3] != row[3:]]
            if not wrong:
                return []
            repaired = [row[0] for row in wrong]
            await change.tx.execute(
                REPAIR, repaired, [row[3] for row in wrong], [row[4] for row in wrong]
            )
            for user in repaired:
                change.recount(user)
            target = ",".join(map(str, repaired))
            await change.record(who=who, what="counters.repair", target=target)
        return list(_drifts(wrong))


def _drifts(rows: Sequence[Row]) -> Iterator[Drift]:
    for user, followers, following, true_followers, true_following in rows:
        if followers != true_followers:
            yield Drift(user, "follower_count", followers, true_followers)
        if following != true_following:
            yield Drift(user, "following_count", following, true_following)
