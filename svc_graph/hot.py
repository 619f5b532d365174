"""Marks of revoked tokens in Valkey, read by the gateway with every call."""

import math
from datetime import datetime, timedelta

from chassis.valkey import Script, Valkey

from .model import SessionId, UserId

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
