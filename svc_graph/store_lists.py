"""Lists of people by their edges."""

from datetime import datetime

from chassis.postgres import Pool

from .model import Listed, Position, UserId
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
