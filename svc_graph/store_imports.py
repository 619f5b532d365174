"""Bulk writes: accounts by handle, follows by the thousand."""

import asyncio
from collections.abc import Iterable, Sequence

from feedmesh.graph.v1 import events_pb2

from chassis import audit
from chassis.clock import Clock
from chassis.errors import NotFound
from chassis.postgres import Pool

from .model import Imported, NewUser, UserId, UserState, Version
from .store_change import Change, Changes

# In the order of the handles: batches in parallel wait for each other's handles in
# one direction only.
ADD_USERS = """
WITH made AS (
    INSERT INTO account (user_id, handle, display_name, updated_at)
    SELECT user_id, handle, display_name, $4
    FROM unnest($1::bigint[], $2::text[], $3::text[])
        AS new (user_id, handle, display_name)
    ORDER BY handle
    ON CONFLICT (handle) DO NOTHING
    RETURNING user_id
)
INSERT INTO graph_state (user_id) SELECT user_id FROM made
"""

IDS_OF_HANDLES = "SELECT handle, user_id FROM account WHERE handle = ANY($1::text[])"

# The rows of all people are locked: no block can come in between.
ADD_FOLLOWS = """
INSERT INTO follow (follower_id, followee_id, version, created_at)
SELECT follower_id, followee_id, $3, $4
FROM unnest($1::bigint[], $2::bigint[]) AS edge (follower_id, followee_id)
WHERE NOT EXISTS (
        SELECT FROM block
        WHERE blocker_id = edge.follower_id AND blocked_id = edge.followee_id
    )
    AND NOT EXISTS (
        SELECT FROM block
        WHERE blocker_id = edge.followee_id AND blocked_id = edge.follower_id
    )
ON CONFLICT (follower_id, followee_id) DO NOTHING
RETURNING follower_id, followee_id
"""

# A follow in place leaves nothing to ask for.
END_REQUESTS = """
DELETE FROM follow_request AS request
USING unnest($1::bigint[], $2::bigint[]) AS edge (follower_id, followee_id)
WHERE request.requester_id = edge.follower_id AND request.target_id = edge.followee_id
"""


AT_ONCE = 3
"""Batches of follows stored at the same time: more only wait for the same rows, the
followers of the few whom everybody follows."""


class PostgresImports:
    """Imports on Postgres: few statements a batch, whatever its size."""

    def __init__(self, *, pool: Pool, changes: Changes, clock: Clock) -> None:
        self._pool = pool
        self._changes = changes
        self._clock = clock
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def add_users(
        self, users: Sequence[NewUser], *, who: str
    ) -> dict[str, UserId]:
        handles = [user.handle for user in users]
        async with self._pool.transaction() as tx:
            await tx.execute(
                ADD_USERS,
                [user.user_id for user in users],
                handles,
                [user.display_name for user in users],
                self._clock.now(),
            )
            # A statement of its own: it sees accounts that others made meanwhile.
            rows = await tx.fetch(IDS_OF_HANDLES, handles)
            await audit.record(
                tx, who=who, what="users.import", target=str(len(users)), outcome="OK"
            )
        return {handle: UserId(user_id) for handle, user_id in rows}

    async def add_follows(
        self, edges: Sequence[tuple[UserId, UserId]], *, who: str
    ) -> Imported:
        people = {user for edge in edges for user in edge}
        async with self._turns, self._changes.locking(people) as change:
            _require_all(change, people)
            change.is_bulk = True
            added = await self._add(change, edges)
            await change.record(who=who, what="follows.import", target=len(edges))
        newest = max((who.version for who in change.people.values()), default=0)
        return Imported(len(added), change.version if added else Version(newest))

    async def _add(
        self, change: Change, edges: Sequence[tuple[UserId, UserId]]
    ) -> list[tuple[UserId, UserId]]:
        rows = await change.tx.fetch(
            ADD_FOLLOWS, *_columns(edges), change.version, change.at
        )
        added = [(UserId(row[0]), UserId(row[1])) for row in rows]
        if added:
            followers, followees = _columns(added)
            await change.tx.execute(END_REQUESTS, followers, followees)
            for follower, followee in added:
                change.count(follower, followee, 1)
            event = events_pb2.FollowsImported(
                follower_ids=followers, followee_ids=followees
            )
            change.publish(event, followers[0])
        return added


def _columns(
    edges: Sequence[tuple[UserId, UserId]],
) -> tuple[list[UserId], list[UserId]]:
    return [edge[0] for edge in edges], [edge[1] for edge in edges]


def _require_all(change: Change, people: Iterable[UserId]) -> None:
    for user in people:
        if change.person(user).state is UserState.DELETED:
            raise NotFound("USER_NOT_FOUND", metadata={"user_id": str(user)})
