"""Who is calling, from metadata alone, and whether the contract lets them."""

from typing import Any

import structlog

from feedmesh.options.v1 import options_pb2

from chassis import auth
from chassis.errors import Unauthenticated
from chassis.interceptors.base import Interceptor, Proceed, ServerCall

AUTHORIZATION_KEY = "authorization"

# What says who is calling is said once, or not believed.
SAID_ONCE = frozenset({auth.IDENTITY_KEY, AUTHORIZATION_KEY, auth.ACT_AS_KEY})

log = structlog.get_logger()


class Auth(Interceptor):
    """Sets the caller; a method without an audience admits nobody."""

    def __init__(
        self, *, identity: auth.InternalIdentity, tokens: auth.AccessTokens
    ) -> None:
        self._identity = identity
        self._tokens = tokens

    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        who = self._who(call)
        if who.acting_for and who.role is auth.Role.SERVICE:
            # Also what is refused below, and what writes no row of the audit trail.
            log.info("acted_as", by=who.service, user_id=who.user_id, method=call.path)
        auth.admit(
            who,
            options_pb2.AUDIENCE_UNSPECIFIED
            if call.plan is None
            else call.plan.policy.audience,
        )
        auth.enter(who)
        return await proceed(call)

    def _who(self, call: ServerCall) -> auth.Caller:
        _refuse_repeats(call)
        identity = call.text(auth.IDENTITY_KEY)
        authorization = call.text(AUTHORIZATION_KEY)
        if identity is not None:
            who = self._identity.verify(identity)
        elif authorization is not None:
            who = self._tokens.verify(_bearer(authorization))
        else:
            who = auth.ANONYMOUS
        act_as = call.text(auth.ACT_AS_KEY)
        return who if act_as is None else auth.act_as(who, act_as)


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("TOKEN_INVALID", "authorization is not a bearer token")
    return token.strip()


def _refuse_repeats(call: ServerCall) -> None:
    pairs = call.context.invocation_metadata() or ()
    if len(pairs) == len(call.metadata):
        return
    names = [name for name, _ in pairs if name in SAID_ONCE]
    if len(names) != len(set(names)):
        raise Unauthenticated("TOKEN_INVALID", "more than one caller is named")
