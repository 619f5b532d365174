"""The newest ids of an owner, packed, so that authors see their posts at once.

A list begins with a tag of the server's run: one that a snapshot brought back lacks
what was appended since, and counts as missing.
"""

from array import array
from datetime import timedelta

from chassis.retries import Retries
from chassis.valkey import Script, Valkey
from chassis.valkey_node import TAG_BYTES

ID_BYTES = 8

# KEYS: the list. ARGV: id, ids kept, milliseconds. Cut when twice too long; begun
# anew when it is of another run of the server.
APPEND = Script(
    """
local tag = string.match(redis.call('INFO', 'server'), 'run_id:(%w%w%w%w%w%w%w%w)')
if redis.call('GETRANGE', KEYS[1], 0, 7) ~= tag then
  redis.call('SET', KEYS[1], tag)
end
local length = redis.call('APPEND', KEYS[1], ARGV[1])
local most = tonumber(ARGV[2]) * 8
if length > 2 * most + 8 then
  redis.call('SET', KEYS[1], tag .. redis.call('GETRANGE', KEYS[1], -most, -1))
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
)


class RecentList:
    """One short list for each owner; it expires a day after it last grew."""

    def __init__(
        self,
        valkey: Valkey,
        prefix: str = "own",
        *,
        kept: int = 100,
        ttl: timedelta = timedelta(days=1),
    ) -> None:
        self._valkey = valkey
        self._prefix = prefix
        self._args = (kept, int(ttl.total_seconds() * 1000))
        self._retries = Retries(valkey)

    def key(self, owner: int) -> str:
        return f"{self._prefix}:{{{owner}}}"

    async def append(self, owner: int, identifier: int) -> None:
        """Adds an id; a second time changes nothing that unpack() shows. Never
        fails: what cannot be written now is written later."""
        packed = identifier.to_bytes(ID_BYTES, "big")
        await self._retries.attempt(
            f"recent {owner} {identifier}",
            lambda: self._valkey.call(APPEND, [self.key(owner)], [packed, *self._args]),
        )

    def current(self, raw: bytes | None) -> list[int] | None:
        """The ids; None when nothing is kept that may be believed."""
        if raw is None or not self._valkey.is_current(raw[:TAG_BYTES]):
            return None
        return self.unpack(raw)

    @staticmethod
    def unpack(raw: bytes | None) -> list[int]:
        """The ids, largest first, each once; of whichever run they are."""
        if not raw:
            return []
        numbers = array("q", raw[TAG_BYTES : len(raw) // ID_BYTES * ID_BYTES])
        numbers.byteswap()
        return sorted(set(numbers), reverse=True)
