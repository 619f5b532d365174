"""What administrators and their tools do: bulk imports and tokens."""

import secrets
from collections.abc import Sequence

from chassis.errors import NotFound
from chassis.ids import Ids

from .auditing import audited
from .model import NOBODY, Imported, IssuedToken, NewUser, SessionId, UserId
from .ports import AuditTrail, Imports, Profiles, TokenSigner


class BulkImport:
    """Accounts without password, and follows without backfill, in batches."""

    def __init__(self, *, imports: Imports, trail: AuditTrail, ids: Ids) -> None:
        self._imports = imports
        self._trail = trail
        self._ids = ids

    async def users(
        self, named: Sequence[tuple[str, str]], *, who: str
    ) -> tuple[list[UserId], int]:
        """The ids of (handle, display name) in order, and how many are new."""
        new = {
            handle: NewUser(UserId(self._ids.next()), handle, display_name or handle)
            for handle, display_name in named
        }
        async with audited(
            self._trail, who=who, what="users.import", target=len(named)
        ):
            found = await self._imports.add_users(list(new.values()), who=who)
        created = sum(found[handle] == user.user_id for handle, user in new.items())
        return [found[handle] for handle, _ in named], created

    async def follows(
        self,
        followers: Sequence[UserId],
        followees: Sequence[UserId],
        *,
        who: str,
    ) -> Imported:
        """Places follows, pairwise. Who follows themself is passed over."""
        edges = {
            (follower, followee)
            for follower, followee in zip(followers, followees, strict=True)
            if follower != followee
        }
        async with audited(
            self._trail, who=who, what="follows.import", target=len(followers)
        ):
            return await self._imports.add_follows(sorted(edges), who=who)


class IssuedTokens:
    """Access tokens made on behalf of an administrator."""

    def __init__(
        self, *, profiles: Profiles, signer: TokenSigner, trail: AuditTrail
    ) -> None:
        self._profiles = profiles
        self._signer = signer
        self._trail = trail

    async def issue(
        self, handle: str, *, is_service: bool, is_admin: bool, ttl: int, who: str
    ) -> IssuedToken:
        """Signs a token. It is written down before it is handed out."""
        kind = "service" if is_service else "admin" if is_admin else "person"
        what, target = f"token.issue.{kind}", handle
        async with audited(self._trail, who=who, what=what, target=target):
            user, token = await self._sign(handle, is_service, is_admin, ttl)
        await self._trail.done(who=who, what=what, target=target)
        return IssuedToken(token, user, ttl)

    async def _sign(
        self, handle: str, is_service: bool, is_admin: bool, ttl: int
    ) -> tuple[UserId, str]:
        if is_service:
            return NOBODY, self._signer.for_service(handle, ttl=ttl)
        profile = await self._profiles.of_handle(handle.lower(), reader=NOBODY)
        if profile is None:
            raise NotFound("USER_NOT_FOUND")
        user = profile.user.user_id
        session = SessionId(secrets.token_hex(16))
        return user, self._signer.for_person(
            user, session=session, is_admin=is_admin, ttl=ttl
        )
