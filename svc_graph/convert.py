"""pb <-> model."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from feedmesh.graph.v1 import graph_pb2, session_pb2, user_pb2

from chassis.auth import Caller
from chassis.errors import InvalidArgument, Violation

from .model import (
    Drift,
    Followed,
    ProfileChange,
    PublicKey,
    Relation,
    Tokens,
    User,
    UserStats,
)

CHANGEABLE = frozenset({"display_name", "bio", "is_private"})

# Name the profile and its state: they stand beside the values, not among them.
NAMING = frozenset({"user_id", "etag"})

UNIX_EPOCH = datetime.fromtimestamp(0, tz=UTC)
MILLISECOND = timedelta(milliseconds=1)


def user_to_pb(user: User) -> user_pb2.User:
    message = user_pb2.User(
        user_id=user.user_id,
        handle=user.handle,
        display_name=user.display_name,
        bio=user.bio,
        is_private=user.is_private,
        state=user_pb2.UserState.ValueType(user.state),
        etag=user.etag,
    )
    message.create_time.FromDatetime(user.created_at)
    message.update_time.FromDatetime(user.updated_at)
    return message


def users_to_pb(users: Iterable[User]) -> list[user_pb2.User]:
    return [user_to_pb(user) for user in users]


def stats_to_pb(stats: UserStats) -> user_pb2.UserStats:
    return user_pb2.UserStats(
        follower_count=stats.follower_count, following_count=stats.following_count
    )


def profile_change_from_pb(user: user_pb2.User, mask: FieldMask) -> ProfileChange:
    """What the mask names; without one, what is set.

    Raises InvalidArgument for a path that cannot be changed.
    """
    paths = set(mask.paths) - NAMING
    unknown = sorted(paths - CHANGEABLE)
    if unknown:
        raise InvalidArgument(
            "UPDATE_MASK_INVALID",
            violations=[
                Violation("update_mask", f"{path} cannot be changed")
                for path in unknown
            ],
        )
    if not mask.paths:
        paths = {path for path in CHANGEABLE if getattr(user, path)}
    return ProfileChange(
        display_name=user.display_name if "display_name" in paths else None,
        bio=user.bio if "bio" in paths else None,
        is_private=user.is_private if "is_private" in paths else None,
    )


def tokens_to_pb(tokens: Tokens) -> session_pb2.Session:
    session = session_pb2.Session(
        session_id=tokens.session_id,
        user_id=tokens.user_id,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
    )
    session.expires_in.FromSeconds(tokens.expires_in)
    session.refresh_expires_in.FromSeconds(tokens.refresh_expires_in)
    return session


def key_to_pb(key: PublicKey) -> session_pb2.Jwk:
    return session_pb2.Jwk(
        kty="OKP", crv="Ed25519", kid=key.kid, x=key.x, alg="Ed25519", use="sig"
    )


def relation_to_pb(relation: Relation) -> graph_pb2.Relation:
    return graph_pb2.Relation(
        user_id=relation.user_id,
        is_following=relation.is_following,
        is_followed_by=relation.is_followed_by,
        is_blocking=relation.is_blocking,
        is_blocked_by=relation.is_blocked_by,
        is_muting=relation.is_muting,
        is_private=relation.is_private,
        state=user_pb2.UserState.ValueType(relation.state),
    )


def following_to_pb(page: Sequence[Followed]) -> graph_pb2.StreamFollowingResponse:
    return graph_pb2.StreamFollowingResponse(
        followee_ids=[followed.user_id for followed in page],
        follow_times_ms=[
            (followed.since - UNIX_EPOCH) // MILLISECOND for followed in page
        ],
        are_celebrities=[followed.is_celebrity for followed in page],
    )


def drift_to_pb(drift: Drift) -> graph_pb2.CounterDrift:
    return graph_pb2.CounterDrift(
        user_id=drift.user_id,
        counter=drift.counter,
        stored=drift.stored,
        counted=drift.counted,
    )


def actor_from(caller: Caller) -> str:
    """Who did it, as the audit trail says it."""
    if caller.acting_for:
        return f"service:{caller.service} for user:{caller.user_id}"
    if caller.user_id:
        return f"user:{caller.user_id}"
    return f"service:{caller.service}" if caller.service else caller.role.value
