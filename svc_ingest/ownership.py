"""Whose a thing is, told only to people who may see it."""

from chassis.errors import PermissionDenied

from .model import UserId


def require_owner(caller: UserId, *owners: UserId) -> None:
    """Raises PermissionDenied NOT_OWNER unless the caller is one of the owners."""
    if caller not in owners:
        raise PermissionDenied("NOT_OWNER")
