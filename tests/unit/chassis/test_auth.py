"""Who is in which audience, and who may act as whom."""

import pytest

from feedmesh.options.v1 import options_pb2

from chassis import auth
from chassis.auth import Caller, Role
from chassis.errors import MeshError, PermissionDenied, Unauthenticated
from chassis.testing import refuses

USER = Caller(user_id=7, role=Role.USER)
ADMIN = Caller(user_id=8, role=Role.ADMIN)
SERVICE = Caller(role=Role.SERVICE, service="importer")
ACTING = auth.act_as(SERVICE, "7")
PEER = Caller(role=Role.INTERNAL, service="svc_feed")
PEER_FOR_USER = Caller(user_id=7, role=Role.INTERNAL, service="svc_feed")

CALLERS = {
    "anonymous": auth.ANONYMOUS,
    "user": USER,
    "admin": ADMIN,
    "service": SERVICE,
    "acting": ACTING,
    "peer": PEER,
    "peer_for_user": PEER_FOR_USER,
}

ADMITTED = {
    "AUDIENCE_PUBLIC": set(CALLERS),
    "AUDIENCE_USER": {"user", "admin", "acting", "peer_for_user"},
    "AUDIENCE_ADMIN": {"admin", "service", "acting", "peer", "peer_for_user"},
    "AUDIENCE_INTERNAL": {"peer", "peer_for_user"},
    "AUDIENCE_UNSPECIFIED": set(),
}


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("audience", options_pb2.Audience.keys())
def test_audience(audience: str, name: str) -> None:
    """Every caller against every audience; what is not admitted is refused."""
    value = options_pb2.Audience.Value(audience)
    who = CALLERS[name]

    if name in ADMITTED[audience]:
        auth.admit(who, value)
    elif who.role is Role.ANONYMOUS:
        with refuses(Unauthenticated, "TOKEN_MISSING"):
            auth.admit(who, value)
    else:
        with refuses(PermissionDenied, "AUDIENCE_DENIED"):
            auth.admit(who, value)


def test_service_token_acts_as_a_person() -> None:
    """It keeps its role and says so."""
    assert (ACTING.user_id, ACTING.role, ACTING.acting_for) == (7, Role.SERVICE, True)


@pytest.mark.parametrize("who", [auth.ANONYMOUS, USER, ADMIN, PEER], ids=str)
def test_nobody_else_acts_as_a_person(who: Caller) -> None:
    """T1: a header does not make one person another."""
    with refuses(PermissionDenied, "AUDIENCE_DENIED"):
        auth.act_as(who, "9")


@pytest.mark.parametrize(
    "user_id", ["", "0", "-1", "x", "\u0667", "1" * 20, str(2**63), "7 ", "1e3"]
)
def test_acting_as_nobody_is_refused(user_id: str) -> None:
    """Only the id of a person will do."""
    with refuses(PermissionDenied, "AUDIENCE_DENIED"):
        auth.act_as(SERVICE, user_id)


def test_require_user() -> None:
    """The id of the person; a service that acts for nobody has none."""
    with auth.calling_as(USER):
        assert auth.require_user() == 7
    with auth.calling_as(SERVICE), refuses(Unauthenticated, "TOKEN_MISSING"):
        auth.require_user()
    assert auth.caller() is auth.ANONYMOUS


def test_require_owner() -> None:
    """Only the owner passes; nobody owns what belongs to id 0."""
    USER.require(7)
    for who, owner in ((USER, 8), (SERVICE, 0)):
        with pytest.raises(MeshError) as caught:
            who.require(owner)
        assert caught.value.reason == "NOT_OWNER"
