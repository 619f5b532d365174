"""The identity that services show each other."""

import pytest

from chassis.callers import Caller, Role
from chassis.errors import Unauthenticated
from chassis.identity import InternalIdentity
from chassis.testing import FakeClock, refuses

KEYS = {"new": b"n" * 32, "old": b"o" * 32}
ANN = Caller(
    user_id=7,
    role=Role.INTERNAL,
    service="svc_feed",
    session_id="s1",
    acting_for=True,
    origin=Role.SERVICE,
)


def test_caller_crosses_whole() -> None:
    """What is signed is what is verified."""
    identity = InternalIdentity(KEYS, clock=FakeClock())

    assert identity.verify(identity.sign(ANN)) == ANN


def test_every_known_key_verifies() -> None:
    """While keys are rolled, peers sign with the old one still."""
    clock = FakeClock()
    old = InternalIdentity({"old": KEYS["old"]}, clock=clock)

    assert InternalIdentity(KEYS, clock=clock).verify(old.sign(ANN)) == ANN


def test_unknown_key_is_refused() -> None:
    """A key that was rolled out, or never was ours."""
    clock = FakeClock()
    other = InternalIdentity({"gone": b"g" * 32}, clock=clock)

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        InternalIdentity(KEYS, clock=clock).verify(other.sign(ANN))


def test_identity_ends() -> None:
    """One that was copied from somewhere is of use for a minute."""
    clock = FakeClock()
    identity = InternalIdentity(KEYS, clock=clock)
    token = identity.sign(ANN, ttl=10)
    clock.advance(11)

    with refuses(Unauthenticated, "TOKEN_INVALID"):
        identity.verify(token)


def test_no_character_can_be_changed() -> None:
    """Each character of an identity is signed."""
    identity = InternalIdentity(KEYS, clock=FakeClock())
    token = identity.sign(ANN)

    for place, character in enumerate(token):
        other = "A" if character != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        with refuses(Unauthenticated, "TOKEN_INVALID"):
            identity.verify(changed)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "new..",
        "new.e30.",
        "é.é.é",
        "new." + "A" * 5000 + ".x",
        "a.b.c.d",
    ],
)
def test_what_is_no_identity_is_refused(token: str) -> None:
    """Garbage is refused like a forgery, and nothing else happens."""
    with refuses(Unauthenticated, "TOKEN_INVALID"):
        InternalIdentity(KEYS, clock=FakeClock()).verify(token)
