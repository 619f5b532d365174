"""Who is pulled: the table of celebrities, which follows the counts of followers.

An author at the threshold enters, and leaves below nine tenths of it. Whoever writes
here holds the author's row of graph_state locked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from feedmesh.graph.v1 import events_pb2

from chassis import ids
from chassis.postgres import Transaction

from .model import UserId, UserState, Version

LEAVE_SHARE = 0.9
"""A celebrity is one until the followers fall below this share of the threshold, so
that an account near the threshold does not go to and fro."""

# Rows of Counted. A subquery, not a join: see store_relations.py.
LOOK = """
SELECT user_id, follower_count, state,
    (SELECT leaving_version IS NOT NULL FROM celebrity WHERE user_id = state.user_id)
FROM graph_state AS state WHERE user_id = ANY($1::bigint[])
"""

# Who comes back while leaving is pulled since as long ago as before: some of those
# posts may not be in the followers' feeds yet.
ENTER = """
INSERT INTO celebrity (user_id, entered_at, pulled_since)
SELECT user_id, at, at
FROM unnest($1::bigint[]) AS user_id,
    coalesce($2::timestamptz, '-infinity'::timestamptz) AS at
ON CONFLICT (user_id) DO UPDATE
SET entered_at = excluded.entered_at, leaving_version = NULL
"""

# No post is older than the first id.
LEAVE = """
UPDATE celebrity SET leaving_version = $2
WHERE user_id = ANY($1::bigint[])
RETURNING user_id, greatest(pulled_since, $3)
"""

FIRST_ID_AT = ids.time_of(0)


class Counted(NamedTuple):
    """A person by whose count is decided."""

    user_id: UserId
    followers: int
    state: int
    is_leaving: bool | None
    """None: not pulled. True: pulled until the followers' feeds are complete."""


class Move(NamedTuple):
    """Whose reach changed, and what the other rooms are told of it."""

    user_id: UserId
    event: events_pb2.ReachChanged | None


@dataclass(frozen=True, slots=True)
class ReachRule:
    """From how many followers on an author is pulled, and until how few."""

    threshold: int

    @property
    def floor(self) -> int:
        return int(self.threshold * LEAVE_SHARE)

    def enters(self, person: Counted) -> bool:
        return (
            person.followers >= self.threshold
            and person.is_leaving is not False
            and person.state != UserState.DELETED
        )

    def leaves(self, person: Counted) -> bool:
        return person.followers < self.floor and person.is_leaving is False


async def move(
    tx: Transaction,
    rule: ReachRule,
    people: Iterable[Counted],
    *,
    version: Version,
    at: datetime | None,
) -> list[Move]:
    """Lets people enter and leave by their counts, whatever the counts were before.

    `at` is when they enter; None for bulk writes: without a grace, and not told.
    """
    entering, leaving = [], []
    for person in people:
        if rule.enters(person):
            entering.append(person)
        elif rule.leaves(person):
            leaving.append(person.user_id)
    moves = []
    if entering:
        await tx.execute(ENTER, [person.user_id for person in entering], at)
        moves += [Move(who.user_id, _entered(who, at)) for who in entering]
    if leaving:
        rows = await tx.fetch(LEAVE, leaving, version, FIRST_ID_AT)
        moves += [Move(user, _left(user, since)) for user, since in rows]
    return moves


def _entered(who: Counted, at: datetime | None) -> events_pb2.ReachChanged | None:
    # Who was said to leave is said to come back, in bulk too.
    if at is None and who.is_leaving is None:
        return None
    return events_pb2.ReachChanged(user_id=who.user_id, is_celebrity=True)


def _left(user: UserId, since: datetime) -> events_pb2.ReachChanged:
    event = events_pb2.ReachChanged(user_id=user)
    event.pulled_since.FromDatetime(since)
    return event
