"""Who is at the door, and whether they may come in: tokens, revocation, rates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from chassis import auth
from chassis.auth import AccessTokens, Caller, Role
from chassis.clock import Clock
from chassis.errors import MeshError, ResourceExhausted, Unauthenticated, Unavailable
from chassis.limits import Decision

from .exchange import Exchange, Headers
from .routes import Route

# Class that calls without a token draw from, unless they change something.
ANONYMOUS_CLASS = "anonymous"

log = structlog.get_logger()


class Marks(Protocol):
    """Where revocations are marked."""

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values, in order. Concurrent reads share a round trip."""
        ...


class Rates(Protocol):
    """Rate limits by class; see chassis.limits."""

    async def take(self, name: str, user: int, ip: str, cost: int) -> Decision: ...


@dataclass(frozen=True, slots=True)
class Guest:
    """A caller whose token was verified."""

    caller: Caller
    issued_at: float
    expires_at: float | None
    """Seconds since the Unix epoch; None without a token."""


ANONYMOUS = Guest(auth.ANONYMOUS, 0.0, None)


class Gate:
    """Decides on callers. While Valkey is away, tokens count as they are."""

    def __init__(
        self, *, tokens: AccessTokens, marks: Marks, rates: Rates, clock: Clock
    ) -> None:
        self._tokens = tokens
        self._marks = marks
        self._rates = rates
        self._clock = clock

    def identify(self, exchange: Exchange) -> Guest:
        """The caller of a request; Unauthenticated for a token that is no good.

        Nothing but the token says who is calling; x-feedmesh-act-as counts for
        service tokens alone.
        """
        credentials = exchange.header(b"authorization")
        act_as = exchange.header(auth.ACT_AS_KEY.encode())
        if not credentials:
            if act_as:
                auth.act_as(auth.ANONYMOUS, act_as)
            return ANONYMOUS
        scheme, _, token = credentials.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("TOKEN_INVALID", "The token must be a Bearer token.")
        verified = self._tokens.inspect(token.strip())
        caller = verified.caller
        if act_as:
            caller = auth.act_as(caller, act_as)
        return Guest(caller, verified.not_before, verified.expires_at)

    async def admit(self, exchange: Exchange, guest: Guest, route: Route) -> None:
        """Lets the caller in or raises; the answer gets the headers of the limit."""
        auth.admit(guest.caller, route.method.policy.audience)
        name = self._rate_class(guest.caller, route)
        if not name:
            await self.check_revoked(guest)
            return
        # Both reach Valkey in the same turn of the loop.
        decision, _ = await asyncio.gather(
            self._rates.take(name, guest.caller.user_id, exchange.ip, route.rate_cost),
            self.check_revoked(guest),
        )
        exchange.extra += _rate_headers(decision)
        if not decision.allowed:
            raise ResourceExhausted(
                "RATE_LIMITED",
                f"The rate limit of {name} calls is used up.",
                metadata={"class": name, "limit": str(decision.limit)},
                retry_after=decision.retry_after,
            )

    async def check_revoked(self, guest: Guest) -> None:
        """Unauthenticated when the session or the person lost their tokens."""
        caller = guest.caller
        if caller.role in (Role.ANONYMOUS, Role.SERVICE):
            return
        keys = [f"revu:{caller.user_id}"]
        if caller.session_id:
            keys.append(f"rev:{caller.session_id}")
        try:
            of_user, *of_session = await self._marks.read(keys)
        except Unavailable:
            # The token expires by itself in minutes; reads go on until then.
            log.info("revocations_unread")
            return
        if any(of_session) or _covers(of_user, guest.issued_at):
            raise _revoked()

    async def recheck(self, guest: Guest) -> None:
        """As a new request would find it: for streams that live on."""
        if guest.expires_at is not None and self.left(guest) <= 0:
            raise _revoked()
        await self.check_revoked(guest)

    def left(self, guest: Guest) -> float:
        """Seconds until the token expires."""
        if guest.expires_at is None:
            return float("inf")
        return guest.expires_at - self._clock.now().timestamp()

    @staticmethod
    def _rate_class(caller: Caller, route: Route) -> str:
        if caller.role is Role.SERVICE:
            return ""
        if caller.role is Role.ANONYMOUS and route.method.changes_nothing:
            return ANONYMOUS_CLASS
        return route.rate_class


def _covers(mark: bytes | None, issued_at: float) -> bool:
    """Whether a person's mark, seconds of a time, voids what was issued then."""
    if not mark:
        return False
    try:
        until = float(mark)
    except ValueError:
        return True
    return issued_at < until


def _rate_headers(decision: Decision) -> Headers:
    if not decision.limit:
        return []
    return [
        (b"ratelimit-limit", b"%d" % decision.limit),
        (b"ratelimit-remaining", b"%d" % max(0, decision.remaining)),
        (b"ratelimit-reset", b"%d" % max(0, -(-decision.reset // 1))),
    ]


def _revoked() -> MeshError:
    return Unauthenticated("TOKEN_INVALID", "The token was revoked or has expired.")
