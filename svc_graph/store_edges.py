"""Edges between two people: follows, requests, blocks, mutes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from feedmesh.graph.v1 import events_pb2

from chassis.clock import Clock

from .model import Person, Ties, UserId, Version
from .store_change import Change, Changes

TIES = """
SELECT
    EXISTS (SELECT FROM follow WHERE follower_id = $1 AND followee_id = $2),
    EXISTS (SELECT FROM follow WHERE follower_id = $2 AND followee_id = $1),
    EXISTS (SELECT FROM follow_request WHERE requester_id = $1 AND target_id = $2),
    EXISTS (SELECT FROM follow_request WHERE requester_id = $2 AND target_id = $1),
    EXISTS (SELECT FROM block WHERE blocker_id = $1 AND blocked_id = $2),
    EXISTS (SELECT FROM block WHERE blocker_id = $2 AND blocked_id = $1),
    EXISTS (
        SELECT FROM mute WHERE muter_id = $1 AND muted_id = $2
        AND (expires_at IS NULL OR expires_at > $3)
    )
"""

ADD_FOLLOW = """
INSERT INTO follow (follower_id, followee_id, version, created_at)
VALUES ($1, $2, $3, $4)
"""

END_FOLLOW = "DELETE FROM follow WHERE follower_id = $1 AND followee_id = $2"

ADD_REQUEST = """
INSERT INTO follow_request (requester_id, target_id, version) VALUES ($1, $2, $3)
"""

END_REQUEST = "DELETE FROM follow_request WHERE requester_id = $1 AND target_id = $2"

ADD_BLOCK = "INSERT INTO block (blocker_id, blocked_id, version) VALUES ($1, $2, $3)"

END_BLOCK = "DELETE FROM block WHERE blocker_id = $1 AND blocked_id = $2"

# A mute that is there, run out or not, keeps its row; the same end changes nothing.
SET_MUTE = """
INSERT INTO mute (muter_id, muted_id, version, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (muter_id, muted_id)
DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at
WHERE mute.expires_at IS DISTINCT FROM excluded.expires_at
RETURNING muter_id
"""

END_MUTE = "DELETE FROM mute WHERE muter_id = $1 AND muted_id = $2"


class PostgresPair:
    """Pair in one transaction of Postgres."""

    def __init__(
        self, *, change: Change, me: Person, other: Person, ties: Ties
    ) -> None:
        self._change = change
        self._me = me
        self._other = other
        self._ties = ties

    @property
    def me(self) -> Person:
        return self._me

    @property
    def other(self) -> Person:
        return self._other

    @property
    def ties(self) -> Ties:
        return self._ties

    @property
    def version(self) -> Version:
        return self._change.version if self._change.deltas else self._me.version

    async def add_follow(self, follower: UserId, followee: UserId) -> None:
        change = self._change
        await change.tx.execute(
            ADD_FOLLOW, follower, followee, change.version, change.at
        )
        change.count(follower, followee, 1)
        event = events_pb2.UserFollowed(follower_id=follower, followee_id=followee)
        change.publish(event, follower)

    async def end_follow(self, follower: UserId, followee: UserId) -> None:
        change = self._change
        await change.tx.execute(END_FOLLOW, follower, followee)
        change.count(follower, followee, -1)
        event = events_pb2.UserUnfollowed(follower_id=follower, followee_id=followee)
        change.publish(event, follower)

    async def add_request(self, requester: UserId, target: UserId) -> None:
        change = self._change
        await change.tx.execute(ADD_REQUEST, requester, target, change.version)

    async def end_request(self, requester: UserId, target: UserId) -> None:
        await self._change.tx.execute(END_REQUEST, requester, target)

    async def add_block(self) -> None:
        me, other, change = self._me.user_id, self._other.user_id, self._change
        await change.tx.execute(ADD_BLOCK, me, other, change.version)
        change.touch(me, other)
        change.publish(events_pb2.UserBlocked(blocker_id=me, blocked_id=other), me)
        await change.record(who=f"user:{me}", what="user.block", target=other)

    async def end_block(self) -> None:
        me, other, change = self._me.user_id, self._other.user_id, self._change
        await change.tx.execute(END_BLOCK, me, other)
        change.touch(me, other)
        change.publish(events_pb2.UserUnblocked(blocker_id=me, blocked_id=other), me)
        await change.record(who=f"user:{me}", what="user.unblock", target=other)

    async def set_mute(self, until: datetime | None) -> None:
        me, other, change = self._me.user_id, self._other.user_id, self._change
        changed = await change.tx.fetch(SET_MUTE, me, other, change.version, until)
        if changed:
            change.touch(me)
            change.publish(events_pb2.UserMuted(muter_id=me, muted_id=other), me)

    async def end_mute(self) -> None:
        me, other, change = self._me.user_id, self._other.user_id, self._change
        await change.tx.execute(END_MUTE, me, other)
        change.touch(me)
        change.publish(events_pb2.UserUnmuted(muter_id=me, muted_id=other), me)


class PostgresEdges:
    """Edges on Postgres."""

    def __init__(self, *, changes: Changes, clock: Clock) -> None:
        self._changes = changes
        self._clock = clock

    @asynccontextmanager
    async def pair(self, me: UserId, other: UserId) -> AsyncIterator[PostgresPair]:
        async with self._changes.locking((me, other)) as change:
            row = await change.tx.fetchrow(TIES, me, other, self._clock.now())
            assert row is not None  # It has no FROM: there is always one.
            yield PostgresPair(
                change=change,
                me=change.person(me),
                other=change.person(other),
                ties=Ties(*row),
            )
