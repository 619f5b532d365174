"""pb <-> model."""

from datetime import timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from feedmesh.graph.v1 import user_pb2

from chassis import ids
from chassis.auth import Caller, Role
from chassis.errors import InvalidArgument
from chassis.testing import NOON, refuses

from svc_graph import convert
from svc_graph.model import (
    Followed,
    FollowState,
    ProfileChange,
    User,
    UserId,
    UserState,
)

ANN = User(
    user_id=UserId(ids.floor_of(NOON)),
    handle="ann",
    display_name="Ann",
    bio="",
    is_private=False,
    state=UserState.ACTIVE,
    created_at=NOON,
    updated_at=NOON,
    revision=1,
)


def change(mask: list[str] | None = None, **fields: object) -> ProfileChange:
    return convert.profile_change_from_pb(
        user_pb2.User(**fields),  # type: ignore[arg-type]  # fields of any type
        FieldMask(paths=mask or []),
    )


def test_a_user_keeps_its_times_and_state() -> None:
    """Ids, handle, times and state as they are; an etag that says the revision."""
    message = convert.user_to_pb(ANN)

    assert message.create_time.ToJsonString() == "2026-03-01T12:00:00Z"
    assert message.state == user_pb2.USER_STATE_ACTIVE
    assert message.etag == ANN.etag


def test_the_enums_are_those_of_the_contract() -> None:
    """Numbers pass as they are, so they must agree."""
    assert {f"USER_STATE_{state.name}": state.value for state in UserState} == {
        name: number for name, number in user_pb2.UserState.items() if number
    }
    assert [state.name for state in FollowState] == ["FOLLOWING", "REQUESTED", "NONE"]


def test_a_mask_names_empty_values_too() -> None:
    """A named field is changed to what is there, also to nothing."""
    assert change(["bio", "is_private"], display_name="x") == ProfileChange(
        bio="", is_private=False
    )


def test_without_a_mask_what_is_set_changes() -> None:
    """An unset field cannot be told from an empty one: it stays."""
    assert change(bio="hi") == ProfileChange(bio="hi")


def test_naming_fields_are_no_values() -> None:
    """A mask made from a body may hold the etag; nothing else changes then."""
    assert change(["etag", "user_id"], bio="hi") == ProfileChange()


@pytest.mark.parametrize("path", ["handle", "state", "*", "bio.x", ""])
def test_other_paths_are_refused(path: str) -> None:
    """What cannot be changed is named in the refusal."""
    with refuses(InvalidArgument, "UPDATE_MASK_INVALID"):
        change([path])


@pytest.mark.parametrize(
    ("caller", "actor"),
    [
        (Caller(user_id=7, role=Role.ADMIN), "user:7"),
        (Caller(role=Role.SERVICE, service="importer"), "service:importer"),
        (
            Caller(user_id=7, role=Role.SERVICE, service="importer", acting_for=True),
            "service:importer for user:7",
        ),
        (Caller(), "anonymous"),
    ],
)
def test_the_audit_trail_names_who_acts(caller: Caller, actor: str) -> None:
    """A service that acts as a person is named with them."""
    assert convert.actor_from(caller) == actor


def test_a_follow_is_as_old_as_its_millisecond() -> None:
    """Ids of posts are compared with it: the columns stay side by side, exact."""
    since = NOON + timedelta(microseconds=1_999)
    page = convert.following_to_pb([Followed(UserId(3), since, is_celebrity=True)])

    assert list(page.followee_ids) == [3]
    assert list(page.follow_times_ms) == [int(NOON.timestamp()) * 1000 + 1]
    assert list(page.are_celebrities) == [True]
