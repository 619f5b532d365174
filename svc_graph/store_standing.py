"""Suspension and deletion of accounts."""

from datetime import datetime

from feedmesh.graph.v1 import events_pb2

from chassis.clock import Clock
from chassis.errors import NotFound
from chassis.postgres import Pool

from .model import Changed, Person, UserId, UserState, Version
from .store_change import Change, Changes
from .store_rows import user_by_id
from .store_sweeps import end_follows, neighbours

SET_STATE = "UPDATE graph_state SET state = $2 WHERE user_id = $1"

END_SESSIONS = """
UPDATE session SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL
"""

ERASE_TOKENS = """
DELETE FROM refresh_token AS token USING session
WHERE session.session_id = token.session_id AND session.user_id = $1
"""

# A revoked session stays until the edge has heard of it (store_sessions.py).
ERASE = (
    ERASE_TOKENS,
    "DELETE FROM session WHERE user_id = $1 AND is_marked",
    "DELETE FROM account WHERE user_id = $1",
    "DELETE FROM credential WHERE user_id = $1",
    "DELETE FROM follow_request WHERE requester_id = $1 OR target_id = $1",
    "DELETE FROM block WHERE blocker_id = $1 OR blocked_id = $1",
    "DELETE FROM mute WHERE muter_id = $1 OR muted_id = $1",
)

IS_PULLED = "SELECT EXISTS (SELECT FROM celebrity WHERE user_id = $1)"

END_PULLING = "DELETE FROM celebrity WHERE user_id = $1"


class PostgresStanding:
    """Standing on Postgres."""

    def __init__(self, *, pool: Pool, changes: Changes, clock: Clock) -> None:
        self._pool = pool
        self._changes = changes
        self._clock = clock

    async def suspend(
        self, user: UserId, *, who: str, reason: str, now: datetime
    ) -> Changed:
        async with self._changes.locking((user,)) as change:
            person = _require_account(change, user)
            await change.record(
                who=who, what="user.suspend", target=f"{user} {reason}".strip()
            )
            if person.state is UserState.SUSPENDED:
                return Changed(await user_by_id(change.tx, user), person.version)
            await change.tx.execute(SET_STATE, user, UserState.SUSPENDED)
            await change.tx.execute(END_SESSIONS, user, now)
            await _turn(change, user)
            change.publish(events_pb2.UserSuspended(user_id=user), user)
            after = await user_by_id(change.tx, user)
        return Changed(after, change.version)

    async def reinstate(self, user: UserId, *, who: str) -> Changed:
        async with self._changes.locking((user,)) as change:
            person = _require_account(change, user)
            await change.record(who=who, what="user.reinstate", target=user)
            if person.state is UserState.ACTIVE:
                return Changed(await user_by_id(change.tx, user), person.version)
            await change.tx.execute(SET_STATE, user, UserState.ACTIVE)
            await _turn(change, user)
            change.publish(events_pb2.UserReinstated(user_id=user), user)
            after = await user_by_id(change.tx, user)
        return Changed(after, change.version)

    async def delete(self, user: UserId, *, who: str, edge_limit: int) -> Version:
        followed = await neighbours(self._pool, "follows", user, edge_limit)
        async with self._changes.locking((user, *followed)) as change:
            person = change.person(user)
            if user not in change.people:
                raise NotFound("USER_NOT_FOUND")
            await change.record(who=who, what="user.delete", target=user)
            if person.state is UserState.DELETED:
                return person.version
            await change.tx.execute(SET_STATE, user, UserState.DELETED)
            await change.tx.execute(END_SESSIONS, user, self._clock.now())
            await end_follows(change, user, followed)
            for erase in ERASE:
                await change.tx.execute(erase, user)
            await _turn(change, user)
            await change.tx.execute(END_PULLING, user)
            change.publish(events_pb2.UserDeleted(user_id=user), user)
        return change.version


async def _turn(change: Change, user: UserId) -> None:
    """Whether the account is shown changes, and with it whether it is pulled."""
    change.touch(user)
    change.expire(user)
    if await change.tx.fetchval(IS_PULLED, user):
        change.repull(user)


def _require_account(change: Change, user: UserId) -> Person:
    person = change.person(user)
    if person.state is UserState.DELETED:
        raise NotFound("USER_NOT_FOUND")
    return person
