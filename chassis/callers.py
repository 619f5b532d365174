"""Who is calling: one frozen value, held in a ContextVar for the length of a call."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from chassis.errors import PermissionDenied, Unauthenticated


class Role(StrEnum):
    """What a caller is. Tokens and identities carry these words."""

    ANONYMOUS = "anonymous"
    USER = "user"
    ADMIN = "admin"
    SERVICE = "service"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, as a verified token or identity says, never as a request says."""

    user_id: int = 0
    """The person; 0 for nobody and for a service that acts for nobody."""

    role: Role = Role.ANONYMOUS
    """What the caller is to this service."""

    service: str = ""
    """Name of the calling service, or of the owner of a service token."""

    session_id: str = ""
    """Session of the person's token; empty when there is none."""

    acting_for: bool = False
    """True when a service token acts as the person."""

    origin: Role = Role.ANONYMOUS
    """What started the call at the edge, when a service passes it on."""

    def require(self, user_id: int) -> None:
        """Raises PermissionDenied unless the caller is that person."""
        if self.user_id != user_id or not user_id:
            raise PermissionDenied("NOT_OWNER")


ANONYMOUS = Caller()

_caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)


def caller() -> Caller:
    """The caller of the current call; ANONYMOUS outside of one."""
    return _caller.get()


def require_user() -> int:
    """The id of the calling person, or Unauthenticated when there is none."""
    user_id = _caller.get().user_id
    if not user_id:
        raise Unauthenticated("TOKEN_MISSING")
    return user_id


def enter(who: Caller) -> None:
    """Makes who the caller for the rest of the current task."""
    _caller.set(who)


@contextlib.contextmanager
def calling_as(who: Caller) -> Iterator[None]:
    """Makes who the caller inside the block: for consumers, jobs and tests."""
    token = _caller.set(who)
    try:
        yield
    finally:
        _caller.reset(token)
