"""What accounts leave behind: many edges, in steps; and old rows."""

import asyncio
from datetime import datetime

from .model import UserId
from .ports import Celebrities, Revocations, Sweeps
from .sessions import PRUNE_BATCH, Sessions

STEP = 500
"""People locked at once: small, so that nobody waits long for a row."""

MARK_SECONDS = 2.0
PRUNE_SECONDS = 600.0


class Aftermath:
    """Finishes what a change of an account began. Safe to repeat and to break off."""

    def __init__(self, *, sweeps: Sweeps, revocations: Revocations) -> None:
        self._sweeps = sweeps
        self._revocations = revocations

    async def of_deletion(self, user: UserId, *, at: datetime) -> None:
        await self._revocations.revoke_user(user, before=at)
        while await self._sweeps.erase_edges(user, limit=STEP):
            pass

    async def of_suspension(self, user: UserId, *, at: datetime) -> None:
        await self._revocations.revoke_user(user, before=at)

    async def of_going_public(self, user: UserId) -> None:
        while await self._sweeps.accept_requests(user, limit=STEP):
            pass


class Upkeep:
    """Small jobs of the worker. They never end; one that fails is started again."""

    def __init__(self, *, sessions: Sessions, celebrities: Celebrities) -> None:
        self._sessions = sessions
        self._celebrities = celebrities

    async def mark_revocations(self) -> None:
        """Tells the edge of revocations that it missed."""
        while True:
            await self._sessions.mark_revoked()
            await asyncio.sleep(MARK_SECONDS)

    async def prune(self) -> None:
        """Takes expired sessions away, and decides about celebrities anew."""
        while True:
            await self._celebrities.recount()
            while await self._sessions.prune() == PRUNE_BATCH:
                pass
            await asyncio.sleep(PRUNE_SECONDS)
