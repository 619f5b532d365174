"""Who may call: the door to callers, identities and tokens, and the one rule.

`caller()` is the verified caller of the current call; `require_user()` is the id of
the person. `admit` says whether a caller is in the audience of a method.
"""

from feedmesh.options.v1 import options_pb2

from chassis.callers import (
    ANONYMOUS,
    Caller,
    Role,
    caller,
    calling_as,
    enter,
    require_user,
)
from chassis.errors import PermissionDenied, Unauthenticated
from chassis.identity import METADATA_KEY as IDENTITY_KEY
from chassis.identity import InternalIdentity
from chassis.tokens import AccessTokens, Verified

__all__ = [
    "ACT_AS_KEY",
    "ANONYMOUS",
    "IDENTITY_KEY",
    "AccessTokens",
    "Caller",
    "InternalIdentity",
    "Role",
    "Verified",
    "act_as",
    "admit",
    "caller",
    "calling_as",
    "enter",
    "require_user",
]

# The person a service token acts as.
ACT_AS_KEY = "x-feedmesh-act-as"

_MAX_ID = 2**63 - 1


def act_as(who: Caller, user_id: str) -> Caller:
    """The caller, acting as a person: only for service tokens, else PermissionDenied.

    Raises PermissionDenied too when user_id is not the id of anybody.
    """
    ours = user_id.isascii() and user_id.isdecimal() and len(user_id) < 20
    if who.role is not Role.SERVICE or not ours or not 0 < int(user_id) <= _MAX_ID:
        raise PermissionDenied("AUDIENCE_DENIED", "only a service token may act as one")
    return Caller(
        user_id=int(user_id),
        role=Role.SERVICE,
        service=who.service,
        session_id=who.session_id,
        acting_for=True,
        origin=Role.SERVICE,
    )


def admit(who: Caller, audience: "options_pb2.Audience.ValueType") -> None:
    """Passes a caller of the audience; raises for everyone else.

    Unauthenticated when nobody is calling, PermissionDenied when the caller is known
    and not in the audience. An audience that is not set admits nobody.
    """
    if audience == options_pb2.AUDIENCE_PUBLIC:
        return
    if who.role is Role.ANONYMOUS:
        raise Unauthenticated("TOKEN_MISSING", "the call needs a token")
    if audience == options_pb2.AUDIENCE_USER and who.user_id:
        return
    if who.role not in _ROLES.get(audience, ()):
        raise PermissionDenied("AUDIENCE_DENIED", "the caller may not call this method")


_ROLES = {
    options_pb2.AUDIENCE_ADMIN: (Role.ADMIN, Role.SERVICE, Role.INTERNAL),
    options_pb2.AUDIENCE_INTERNAL: (Role.INTERNAL,),
}
