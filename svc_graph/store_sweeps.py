"""Many edges of one person: ended by a deletion, accepted by going public."""

from collections.abc import Sequence
from typing import Literal

from feedmesh.graph.v1 import events_pb2

from chassis.postgres import Pool

from .model import UserId, UserState
from .store_change import Change, Changes

FOLLOW_NEIGHBOURS = """
(SELECT followee_id FROM follow WHERE follower_id = $1 LIMIT $2)
UNION
(SELECT follower_id FROM follow WHERE followee_id = $1 LIMIT $2)
LIMIT $2
"""

REQUEST_NEIGHBOURS = """
SELECT requester_id FROM follow_request WHERE target_id = $1 ORDER BY version LIMIT $2
"""

END_FOLLOWS = """
DELETE FROM follow
WHERE (follower_id = $1 AND followee_id = ANY($2::bigint[]))
    OR (followee_id = $1 AND follower_id = ANY($2::bigint[]))
RETURNING follower_id, followee_id
"""

# Of those who ask, who is locked and still there.
TAKE_REQUESTS = """
DELETE FROM follow_request AS request
WHERE target_id = $1 AND requester_id = ANY($2::bigint[])
RETURNING requester_id
"""

ADD_FOLLOWERS = """
INSERT INTO follow (follower_id, followee_id, version, created_at)
SELECT unnest($2::bigint[]), $1, $3, $4
ON CONFLICT (follower_id, followee_id) DO NOTHING
RETURNING follower_id
"""


async def neighbours(
    pool: Pool, by: Literal["follows", "requests"], user: UserId, limit: int
) -> list[UserId]:
    """Some people who share a follow with, or ask to follow, a person.

    Read before the locks, which need to know whom to lock: what changed meanwhile
    is left to the next step.
    """
    sql = FOLLOW_NEIGHBOURS if by == "follows" else REQUEST_NEIGHBOURS
    return [UserId(row[0]) for row in await pool.fetch(sql, user, limit)]


async def end_follows(change: Change, user: UserId, others: Sequence[UserId]) -> int:
    """Ends and counts the follows between a person and these, all of them locked.

    No UserUnfollowed is told: UserDeleted says it all.
    """
    rows = await change.tx.fetch(END_FOLLOWS, user, others)
    for follower, followee in rows:
        change.count(follower, followee, -1)
    return len(rows)


async def accept_open_requests(
    change: Change, user: UserId, others: Sequence[UserId]
) -> int:
    """Turns the requests of these people, all of them locked, into follows."""
    rows = await change.tx.fetch(TAKE_REQUESTS, user, others)
    asked = [row[0] for row in rows]
    there = [who for who in asked if change.person(who).state is not UserState.DELETED]
    added = await change.tx.fetch(ADD_FOLLOWERS, user, there, change.version, change.at)
    for (follower,) in added:
        change.count(follower, user, 1)
        event = events_pb2.UserFollowed(follower_id=follower, followee_id=user)
        change.publish(event, follower)
    return len(asked)


class PostgresSweeps:
    """Sweeps on Postgres."""

    def __init__(self, *, pool: Pool, changes: Changes) -> None:
        self._pool = pool
        self._changes = changes

    async def erase_edges(self, user: UserId, *, limit: int) -> int:
        others = await neighbours(self._pool, "follows", user, limit)
        if not others:
            return 0
        async with self._changes.locking((user, *others)) as change:
            if change.person(user).state is not UserState.DELETED:
                return 0
            return await end_follows(change, user, others)

    async def accept_requests(self, user: UserId, *, limit: int) -> int:
        others = await neighbours(self._pool, "requests", user, limit)
        if not others:
            return 0
        async with self._changes.locking((user, *others)) as change:
            person = change.person(user)
            if person.is_private or person.state is not UserState.ACTIVE:
                return 0
            return await accept_open_requests(change, user, others)
