"""Accounts: signing up, profiles, suspension, deletion."""

import hashlib
from collections.abc import Sequence

from chassis.clock import Clock
from chassis.errors import Aborted, NotFound, Unavailable
from chassis.ids import Ids

from .auditing import audited
from .model import (
    NOBODY,
    Changed,
    NewUser,
    Profile,
    ProfileChange,
    RequestKey,
    User,
    UserId,
    Version,
)
from .ports import (
    AuditTrail,
    Credentials,
    PasswordHashes,
    Revocations,
    Standing,
    Users,
)

CREATE_USER = "CreateUser"

EDGE_LIMIT = 2_000
"""Follows that DeleteUser erases before it answers; a worker erases the rest."""

ACCEPT_LIMIT = 200
"""Requests that going public accepts before it answers; a worker accepts the rest."""


class Accounts:
    """The accounts of people."""

    def __init__(
        self,
        *,
        users: Users,
        passwords: PasswordHashes,
        standing: Standing,
        credentials: Credentials,
        revocations: Revocations,
        trail: AuditTrail,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._standing = standing
        self._credentials = credentials
        self._revocations = revocations
        self._trail = trail
        self._ids = ids
        self._clock = clock

    async def create(
        self, handle: str, *, display_name: str, password: str, request_id: str
    ) -> User:
        """Signs a person up; a repeat with the same request id answers the same one.

        The password is no part of the stored digest, which would be a fast hash of
        it: a repeat is held against the slow one.
        """
        request = None
        if request_id:
            fields = f"{handle}\n{display_name}".encode()
            request = RequestKey(
                NOBODY, CREATE_USER, request_id, hashlib.sha256(fields).digest()
            )
        new = NewUser(UserId(self._ids.next()), handle, display_name or handle)
        created = await self._users.create(
            new, password_hash=await self._passwords.hash(password), request=request
        )
        if created.is_replay:
            await self._check_replay(created.user, password)
        return created.user

    async def get(self, user: UserId, *, reader: UserId) -> Profile:
        found = await self._users.profiles([user], reader=reader)
        if not found:
            raise NotFound("USER_NOT_FOUND")
        return found[0]

    async def batch(self, users: Sequence[UserId], *, reader: UserId) -> list[Profile]:
        """Those who were found, in the order asked for."""
        found = {
            profile.user.user_id: profile
            for profile in await self._users.profiles(
                list(dict.fromkeys(users)), reader=reader
            )
        }
        return [found[user] for user in users if user in found]

    async def lookup(self, handle: str, *, reader: UserId) -> Profile:
        profile = await self._users.of_handle(handle.lower(), reader=reader)
        if profile is None:
            raise NotFound("USER_NOT_FOUND")
        return profile

    async def update(
        self, user: UserId, change: ProfileChange, *, etag: str
    ) -> Changed:
        return await self._users.update(
            user, change, etag=etag, accept_limit=ACCEPT_LIMIT
        )

    async def suspend(self, user: UserId, *, who: str, reason: str) -> Changed:
        now = self._clock.now()
        async with audited(self._trail, who=who, what="user.suspend", target=user):
            changed = await self._standing.suspend(
                user, who=who, reason=reason, now=now
            )
        await self._void_tokens(user)
        return changed

    async def reinstate(self, user: UserId, *, who: str) -> Changed:
        async with audited(self._trail, who=who, what="user.reinstate", target=user):
            return await self._standing.reinstate(user, who=who)

    async def delete(self, user: UserId, *, who: str) -> Version:
        async with audited(self._trail, who=who, what="user.delete", target=user):
            version = await self._standing.delete(user, who=who, edge_limit=EDGE_LIMIT)
        await self._void_tokens(user)
        return version

    async def _check_replay(self, user: User, password: str) -> None:
        credential = await self._credentials.of_user(user.user_id)
        stored = credential.password_hash if credential else None
        if not await self._passwords.fits(password, stored):
            raise Aborted("REQUEST_ID_CONFLICT")

    async def _void_tokens(self, user: UserId) -> None:
        """Tells the edge at once; when that fails, the consumer of the event does."""
        try:
            await self._revocations.revoke_user(user, before=self._clock.now())
        except Unavailable:
            return
