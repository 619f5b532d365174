"""Who calls, as the handlers want to know it."""

from typing import Any, TypeAlias

from grpc.aio import ServicerContext

from chassis import auth

from .model import UserId

# Not used, and of any request and answer.
Context: TypeAlias = ServicerContext[Any, Any]


def me() -> UserId:
    """The calling person. Raises Unauthenticated when there is none."""
    return UserId(auth.require_user())


def anyone() -> UserId:
    """The calling person; 0 for somebody without an account."""
    return UserId(auth.caller().user_id)
