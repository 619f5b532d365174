"""Relations: how people stand to each other, whom posts reach, who is followed."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from chassis.postgres import Pool

from .model import Followed, Reach, Relation, UserId, UserState, Version

# One statement, so that relations and version are of one snapshot.
RELATIONS = """
SELECT
    wanted.user_id,
    following.followee_id IS NOT NULL,
    follower.follower_id IS NOT NULL,
    blocking.blocked_id IS NOT NULL,
    blocker.blocker_id IS NOT NULL,
    muting.muted_id IS NOT NULL,
    coalesce(graph.is_private, false),
    coalesce(graph.state, 3),
    (SELECT version FROM graph_state WHERE user_id = $1)
FROM unnest($2::bigint[]) WITH ORDINALITY AS wanted (user_id, place)
LEFT JOIN graph_state AS graph ON graph.user_id = wanted.user_id
LEFT JOIN follow AS following
    ON following.follower_id = $1 AND following.followee_id = wanted.user_id
LEFT JOIN follow AS follower
    ON follower.follower_id = wanted.user_id AND follower.followee_id = $1
LEFT JOIN block AS blocking
    ON blocking.blocker_id = $1 AND blocking.blocked_id = wanted.user_id
LEFT JOIN block AS blocker
    ON blocker.blocker_id = wanted.user_id AND blocker.blocked_id = $1
LEFT JOIN mute AS muting
    ON muting.muter_id = $1 AND muting.muted_id = wanted.user_id
    AND (muting.expires_at IS NULL OR muting.expires_at > $3)
ORDER BY wanted.place
"""

FOLLOWER_IDS = """
SELECT follower_id FROM follow
WHERE followee_id = $1 AND follower_id > $2
ORDER BY follower_id
LIMIT $3
"""

FOLLOWING_IDS = """
SELECT followee_id, created_at,
    EXISTS (SELECT FROM celebrity WHERE user_id = followee_id)
FROM follow
WHERE follower_id = $1 AND followee_id > $2
ORDER BY followee_id
LIMIT $3
"""

# In the order of Reach. Fanned out: who is not pulled, or leaves, or has just entered.
REACH = """
SELECT follower_count, following_count,
    EXISTS (SELECT FROM celebrity WHERE user_id = $1),
    NOT EXISTS (
        SELECT FROM celebrity
        WHERE user_id = $1 AND leaving_version IS NULL AND entered_at <= $2
    )
FROM graph_state WHERE user_id = $1 AND state <> 3
"""

# Subqueries, not joins: a table as small as celebrity has no statistics, and a join
# that is planned without them reads all of graph_state.
FOLLOWED_CELEBRITIES = """
SELECT followee_id FROM follow
WHERE follower_id = $1
    AND (SELECT true FROM celebrity WHERE user_id = followee_id)
    AND (SELECT state = 1 FROM graph_state WHERE user_id = followee_id)
ORDER BY followee_id
"""


NOBODY_REACHED = Reach(0, 0, is_celebrity=False, is_fanned_out=True)


class PostgresRelations:
    """Relations on the primary."""

    def __init__(self, *, pool: Pool, celebrity_grace: timedelta) -> None:
        """`celebrity_grace`: how long posts of who is pulled are still fanned out."""
        self._pool = pool
        self._grace = celebrity_grace

    async def of(
        self, viewer: UserId, users: Sequence[UserId], *, now: datetime
    ) -> tuple[list[Relation], Version]:
        rows = await self._pool.fetch(RELATIONS, viewer, users, now)
        relations = [
            Relation(
                user_id=row[0],
                is_following=row[1],
                is_followed_by=row[2],
                is_blocking=row[3],
                is_blocked_by=row[4],
                is_muting=row[5],
                is_private=row[6],
                state=UserState(row[7]),
            )
            for row in rows
        ]
        version = rows[0][8] if rows else None
        return relations, Version(version or 0)

    async def followers(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[UserId]]:
        while True:
            rows = await self._pool.fetch(FOLLOWER_IDS, user, after, size)
            page = [UserId(row[0]) for row in rows]
            if page:
                yield page
                after = page[-1]
            if len(page) < size:
                return

    async def following(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[Followed]]:
        while True:
            rows = await self._pool.fetch(FOLLOWING_IDS, user, after, size)
            page = [Followed(*row) for row in rows]
            if page:
                yield page
                after = page[-1].user_id
            if len(page) < size:
                return

    async def reach(self, user: UserId, *, now: datetime) -> Reach:
        row = await self._pool.fetchrow(REACH, user, now - self._grace)
        return Reach(*row) if row else NOBODY_REACHED

    async def followed_celebrities(self, viewer: UserId) -> list[UserId]:
        rows = await self._pool.fetch(FOLLOWED_CELEBRITIES, viewer)
        return [UserId(row[0]) for row in rows]
