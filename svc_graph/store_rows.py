"""Rows of Postgres as values of the model."""

from typing import Any, Protocol

from chassis import ids
from chassis.errors import NotFound
from chassis.postgres import Transaction

from .model import Profile, User, UserId, UserState, UserStats

USER = """
SELECT account.user_id, handle, display_name, bio, is_private, state, updated_at,
    revision
FROM account JOIN graph_state AS graph ON graph.user_id = account.user_id
WHERE account.user_id = $1
"""


class Row(Protocol):
    """A row of Postgres: a column is of whatever type it has there."""

    def __getitem__(self, column: str, /) -> Any: ...


def user_of(row: Row) -> User:
    """A person from the columns of account and graph_state."""
    return User(
        user_id=row["user_id"],
        handle=row["handle"],
        display_name=row["display_name"],
        bio=row["bio"],
        is_private=row["is_private"],
        state=UserState(row["state"]),
        created_at=ids.time_of(row["user_id"]),
        updated_at=row["updated_at"],
        revision=row["revision"],
    )


def profile_of(row: Row) -> Profile:
    """The same with the counts."""
    stats = UserStats(row["follower_count"], row["following_count"])
    return Profile(user_of(row), stats)


async def user_by_id(tx: Transaction, user: UserId) -> User:
    """A person in whatever state; NotFound when there is none."""
    row = await tx.fetchrow(USER, user)
    if row is None:
        raise NotFound("USER_NOT_FOUND")
    return user_of(row)
