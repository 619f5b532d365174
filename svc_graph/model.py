"""Values of the graph: people, their edges and sessions."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NewType

UserId = NewType("UserId", int)
SessionId = NewType("SessionId", str)
Version = NewType("Version", int)

NOBODY = UserId(0)


class UserState(IntEnum):
    """Whether an account can be seen and used; numbered as in the contract."""

    ACTIVE = 1
    SUSPENDED = 2
    DELETED = 3


class FollowState(IntEnum):
    """What came of a follow; numbered as in the contract."""

    FOLLOWING = 1
    REQUESTED = 2
    NONE = 3


@dataclass(frozen=True, slots=True)
class User:
    """A profile. `revision` grows with every change of it, from 1."""

    user_id: UserId
    handle: str
    display_name: str
    bio: str
    is_private: bool
    state: UserState
    created_at: datetime
    updated_at: datetime
    revision: int

    @property
    def etag(self) -> str:
        """What a writer names to change only the profile they have read."""
        return f"{self.user_id:x}-{self.revision:x}"


@dataclass(frozen=True, slots=True)
class UserStats:
    """How many edges a person has."""

    follower_count: int
    following_count: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A person with their counts."""

    user: User
    stats: UserStats


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """New values of a profile; None leaves a field as it is."""

    display_name: str | None = None
    bio: str | None = None
    is_private: bool | None = None


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to be made."""

    user_id: UserId
    handle: str
    display_name: str


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Under which key a repeat of a request is recognised.

    `digest` covers the fields of the request, so that the same key with other
    fields is refused.
    """

    caller: UserId
    method: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Created:
    """A sign-up: the person, and whether an earlier attempt had made them."""

    user: User
    is_replay: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """A profile after a change, with the graph version that holds it."""

    user: User
    version: Version


@dataclass(frozen=True, slots=True)
class Credential:
    """What a password is checked against."""

    user_id: UserId
    password_hash: str | None
    state: UserState


@dataclass(frozen=True, slots=True)
class Person:
    """What a locked pair knows of one of the two."""

    user_id: UserId
    state: UserState
    is_private: bool
    version: Version


@dataclass(frozen=True, slots=True)
class Ties:
    """What stands between a person (me) and another (other)."""

    is_following: bool
    is_followed_by: bool
    has_requested: bool
    is_requested_by: bool
    is_blocking: bool
    is_blocked_by: bool
    is_muting: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """How a viewer stands to one person."""

    user_id: UserId
    is_following: bool
    is_followed_by: bool
    is_blocking: bool
    is_blocked_by: bool
    is_muting: bool
    is_private: bool
    state: UserState


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list goes on: after the edge of this version and person."""

    version: Version
    user_id: UserId


@dataclass(frozen=True, slots=True)
class Listed:
    """A person in a list, and the place of their edge in it."""

    user: User
    position: Position


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a post of an author goes, and how many the author follows.

    A celebrity's posts are pulled by readers. Others' are fanned out, and those of
    whoever has just become a celebrity, or is about to cease to be one, are both.
    """

    follower_count: int
    following_count: int
    is_celebrity: bool
    is_fanned_out: bool


@dataclass(frozen=True, slots=True)
class Followed:
    """Somebody whom a person follows."""

    user_id: UserId
    since: datetime
    is_celebrity: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """A stored count that is not what was counted; `counter` is its column."""

    user_id: UserId
    counter: str
    stored: int
    counted: int


@dataclass(frozen=True, slots=True)
class Checked:
    """How many people were looked at, who was the last, and what is wrong."""

    count: int
    last: UserId
    drifts: list[Drift]


@dataclass(frozen=True, slots=True)
class Imported:
    """What a batch of follows changed."""

    created_count: int
    version: Version


class Rotation(IntEnum):
    """What became of a refresh token that was shown."""

    ROTATED = 1
    UNKNOWN = 2
    REUSED = 3


@dataclass(frozen=True, slots=True)
class Rotated:
    """The outcome for a refresh token, and whose session it is."""

    outcome: Rotation
    session_id: SessionId
    user_id: UserId


@dataclass(frozen=True, slots=True)
class Tokens:
    """A session's pair of tokens. Lifetimes are in seconds."""

    session_id: SessionId
    user_id: UserId
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token without a session; `user_id` is 0 for a service."""

    access_token: str
    user_id: UserId
    expires_in: int


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that access tokens are verified with (RFC 8037), base64url."""

    kid: str
    x: str
