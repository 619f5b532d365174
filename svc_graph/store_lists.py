"""Lists of people by their edges, and relations: the reads of the graph."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from chassis.postgres import Pool

from .model import Listed, Position, Reach, Relation, UserId, UserState, Version
from .store_rows import user_of

# All lists: the row comparison is the keyset, and the index of the list gives the
# order, so that a page costs the same wherever it lies.
FOLLOWERS = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision, edge.version
FROM follow AS edge
JOIN account ON account.user_id = edge.follower_id
JOIN graph_state AS graph ON graph.user_id = edge.follower_id AND graph.state = 1
WHERE edge.followee_id = $1 AND (edge.version, edge.follower_id) < ($2, $3)
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = edge.follower_id AND blocked_id = $4
    )
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = $4 AND blocked_id = edge.follower_id
    )
ORDER BY edge.version DESC, edge.follower_id DESC
LIMIT $5
"""

FOLLOWING = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision, edge.version
FROM follow AS edge
JOIN account ON account.user_id = edge.followee_id
JOIN graph_state AS graph ON graph.user_id = edge.followee_id AND graph.state = 1
WHERE edge.follower_id = $1 AND (edge.version, edge.followee_id) < ($2, $3)
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = edge.followee_id AND blocked_id = $4
    )
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = $4 AND blocked_id = edge.followee_id
    )
ORDER BY edge.version DESC, edge.followee_id DESC
LIMIT $5
"""

# A block ends requests both ways: none is left to hide.
REQUESTS = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision, edge.version
FROM follow_request AS edge
JOIN account ON account.user_id = edge.requester_id
JOIN graph_state AS graph ON graph.user_id = edge.requester_id AND graph.state = 1
WHERE edge.target_id = $1 AND (edge.version, edge.requester_id) < ($2, $3)
ORDER BY edge.version DESC, edge.requester_id DESC
LIMIT $4
"""

BLOCKS = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision, edge.version
FROM block AS edge
JOIN account ON account.user_id = edge.blocked_id
JOIN graph_state AS graph ON graph.user_id = edge.blocked_id AND graph.state = 1
WHERE edge.blocker_id = $1 AND (edge.version, edge.blocked_id) < ($2, $3)
ORDER BY edge.version DESC, edge.blocked_id DESC
LIMIT $4
"""

MUTES = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision, edge.version
FROM mute AS edge
JOIN account ON account.user_id = edge.muted_id
JOIN graph_state AS graph ON graph.user_id = edge.muted_id AND graph.state = 1
WHERE edge.muter_id = $1 AND (edge.version, edge.muted_id) < ($2, $3)
    AND (edge.expires_at IS NULL OR edge.expires_at > $5)
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = edge.muted_id AND blocked_id = $1
    )
    AND NOT EXISTS (
        SELECT FROM block WHERE blocker_id = $1 AND blocked_id = edge.muted_id
    )
ORDER BY edge.version DESC, edge.muted_id DESC
LIMIT $4
"""

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

REACH = """
SELECT follower_count, EXISTS (SELECT FROM celebrity WHERE user_id = $1)
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


class PostgresListings:
    """Listings on Postgres."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def followers(
        self, of: UserId, *, reader: UserId, limit: int, after: Position
    ) -> list[Listed]:
        return await self._listed(
            FOLLOWERS, of, after.version, after.user_id, reader, limit
        )

    async def following(
        self, of: UserId, *, reader: UserId, limit: int, after: Position
    ) -> list[Listed]:
        return await self._listed(
            FOLLOWING, of, after.version, after.user_id, reader, limit
        )

    async def requests(
        self, of: UserId, *, limit: int, after: Position
    ) -> list[Listed]:
        return await self._listed(REQUESTS, of, after.version, after.user_id, limit)

    async def blocks(self, of: UserId, *, limit: int, after: Position) -> list[Listed]:
        return await self._listed(BLOCKS, of, after.version, after.user_id, limit)

    async def mutes(
        self, of: UserId, *, limit: int, after: Position, now: datetime
    ) -> list[Listed]:
        return await self._listed(MUTES, of, after.version, after.user_id, limit, now)

    async def _listed(self, sql: str, *args: object) -> list[Listed]:
        return [
            Listed(user_of(row), Position(row["version"], row["user_id"]))
            for row in await self._pool.fetch(sql, *args)
        ]


class PostgresRelations:
    """Relations on the primary."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

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

    async def reach(self, user: UserId) -> Reach:
        row = await self._pool.fetchrow(REACH, user)
        return Reach(*row) if row else Reach(0, False)

    async def followed_celebrities(self, viewer: UserId) -> list[UserId]:
        rows = await self._pool.fetch(FOLLOWED_CELEBRITIES, viewer)
        return [UserId(row[0]) for row in rows]
