"""Sessions: logging in, going on, logging out."""

import hashlib
import secrets
from datetime import timedelta

from chassis.clock import Clock
from chassis.errors import PermissionDenied, Unauthenticated, Unavailable

from .auditing import audited
from .model import Rotation, SessionId, Tokens, UserId, UserState
from .ports import (
    AuditTrail,
    Credentials,
    PasswordHashes,
    Revocations,
    SessionRecords,
    TokenSigner,
)

REFRESH_TOKEN_BYTES = 32

MARK_BATCH = 500
PRUNE_BATCH = 1_000


class Sessions:
    """Sessions of people. A session is a chain of refresh tokens, each good once."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        records: SessionRecords,
        passwords: PasswordHashes,
        signer: TokenSigner,
        revocations: Revocations,
        trail: AuditTrail,
        clock: Clock,
        access_ttl: timedelta,
        refresh_ttl: timedelta,
    ) -> None:
        self._credentials = credentials
        self._records = records
        self._passwords = passwords
        self._signer = signer
        self._revocations = revocations
        self._trail = trail
        self._clock = clock
        self._access_ttl = access_ttl
        self._refresh_ttl = refresh_ttl

    async def create(self, handle: str, password: str) -> Tokens:
        """Logs a person in.

        An unknown handle takes as long, and is answered like, a wrong password.
        """
        credential = await self._credentials.of_handle(handle.lower())
        target = credential.user_id if credential else "unknown"
        who = f"user:{target}"
        async with audited(self._trail, who=who, what="session.open", target=target):
            stored = credential.password_hash if credential else None
            is_right = await self._passwords.fits(password, stored)
            if credential is None or not is_right:
                raise Unauthenticated("CREDENTIALS_INVALID")
            if credential.state is not UserState.ACTIVE:
                raise PermissionDenied("ACCOUNT_SUSPENDED")
            return await self._open(credential.user_id)

    async def refresh(self, refresh_token: str) -> Tokens:
        now = self._clock.now()
        fresh = secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
        rotated = await self._records.rotate(
            _hash(refresh_token),
            _hash(fresh),
            now=now,
            expires_at=now + self._refresh_ttl,
        )
        if rotated.outcome is Rotation.REUSED:
            await self._mark([rotated.session_id])
            raise Unauthenticated("REFRESH_TOKEN_REUSED")
        if rotated.outcome is Rotation.UNKNOWN:
            raise Unauthenticated("REFRESH_TOKEN_INVALID")
        return self._tokens(rotated.session_id, rotated.user_id, fresh)

    async def revoke(self, refresh_token: str) -> None:
        session = await self._records.revoke(
            _hash(refresh_token), now=self._clock.now()
        )
        if session is not None:
            await self._mark([session])

    async def mark_revoked(self) -> int:
        """Tells the edge what it does not know yet; how many it was told.

        Raises Unavailable when the edge cannot be told.
        """
        # An access token that is older than this has expired by itself.
        since = self._clock.now() - 2 * self._access_ttl
        sessions = await self._records.unmarked(since=since, limit=MARK_BATCH)
        for session in sessions:
            await self._revocations.revoke_session(session)
        if sessions:
            await self._records.set_marked(sessions)
        return len(sessions)

    async def prune(self) -> int:
        """Deletes some expired sessions; how many."""
        return await self._records.prune(now=self._clock.now(), limit=PRUNE_BATCH)

    async def _open(self, user: UserId) -> Tokens:
        now = self._clock.now()
        session = SessionId(secrets.token_hex(16))
        refresh_token = secrets.token_urlsafe(REFRESH_TOKEN_BYTES)
        is_open = await self._records.open(
            session,
            user,
            token_hash=_hash(refresh_token),
            now=now,
            expires_at=now + self._refresh_ttl,
        )
        if not is_open:
            raise PermissionDenied("ACCOUNT_SUSPENDED")
        return self._tokens(session, user, refresh_token)

    async def _mark(self, sessions: list[SessionId]) -> None:
        """Tells the edge at once; what fails is left to mark_revoked."""
        try:
            for session in sessions:
                await self._revocations.revoke_session(session)
        except Unavailable:
            return
        await self._records.set_marked(sessions)

    def _tokens(self, session: SessionId, user: UserId, refresh_token: str) -> Tokens:
        access_ttl = int(self._access_ttl.total_seconds())
        return Tokens(
            session_id=session,
            user_id=user,
            access_token=self._signer.for_person(
                user, session=session, is_admin=False, ttl=access_ttl
            ),
            expires_in=access_ttl,
            refresh_token=refresh_token,
            refresh_expires_in=int(self._refresh_ttl.total_seconds()),
        )


def _hash(refresh_token: str) -> bytes:
    """A fast hash will do: the token is 256 random bits."""
    return hashlib.sha256(refresh_token.encode()).digest()
