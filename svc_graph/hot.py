"""Marks in Valkey: of revoked tokens, for the gateway; of versions, for feeds."""

import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from chassis.freshness import VersionMarks
from chassis.valkey import Script, Valkey

from .model import Followed, Reach, Relation, SessionId, UserId, Version
from .ports import Relations

# Times only grow: an event that comes a second time must not revive a token.
RAISE = Script(
    """
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return 1
"""
)

# The longest life of a token that can be issued, and some more for clocks.
USER_TTL = timedelta(days=1, minutes=5)


class ValkeyRevocations:
    """Revocations in Valkey: `rev:` by session, `revu:` by person."""

    def __init__(self, *, valkey: Valkey, access_ttl: timedelta) -> None:
        self._valkey = valkey
        self._session_ttl = access_ttl + timedelta(minutes=1)

    async def revoke_session(self, session: SessionId) -> None:
        await self._valkey.set(f"rev:{session}", b"1", ttl=self._session_ttl)

    async def revoke_user(self, user: UserId, *, before: datetime) -> None:
        # Tokens say when they were issued in whole seconds.
        second = math.floor(before.timestamp()) + 1
        await self._valkey.call(
            RAISE, [f"revu:{user}"], [second, int(USER_TTL.total_seconds())]
        )


class MarkedRelations:
    """Relations that put back the version mark of whoever asks, if it is missing.

    Without it, a reader whose mark was lost or never made would be asked about again
    for every page, until the next change.
    """

    def __init__(self, *, relations: Relations, marks: VersionMarks) -> None:
        self._relations = relations
        self._marks = marks

    async def of(
        self, viewer: UserId, users: Sequence[UserId], *, now: datetime
    ) -> tuple[list[Relation], Version]:
        relations, version = await self._relations.of(viewer, users, now=now)
        if viewer:
            await self._marks.restore(viewer, version)
        return relations, version

    def followers(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[UserId]]:
        return self._relations.followers(user, size=size, after=after)

    def following(
        self, user: UserId, *, size: int, after: UserId
    ) -> AsyncIterator[list[Followed]]:
        return self._relations.following(user, size=size, after=after)

    async def reach(self, user: UserId, *, now: datetime) -> Reach:
        return await self._relations.reach(user, now=now)

    async def followed_celebrities(self, viewer: UserId) -> list[UserId]:
        return await self._relations.followed_celebrities(viewer)
