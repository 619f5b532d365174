"""Bytes with a version in Valkey: an older value never replaces a newer one.

A value is a letter, eight bytes of version, a tag of the server's run, and the bytes:
`v` a value, `?` one that is about to change, `x` one that is gone. What was written in
another run, as a snapshot brings it back, may be older than what was changed since: it
counts as missing.
"""

from collections.abc import Mapping
from datetime import timedelta

from chassis.valkey import Script, Valkey
from chassis.valkey_node import TAG_BYTES

_VALUE, _BLOCKED, _GONE = b"v", b"?", b"x"
_TAG = 9
_HEAD = _TAG + TAG_BYTES

# KEYS: one or more. ARGV: milliseconds, then one value for each key, without its tag.
# Versions are compared as eight bytes: numbers in Lua are not exact beyond 2^53.
WRITE = Script(
    """
local tag = string.match(redis.call('INFO', 'server'), 'run_id:(%w%w%w%w%w%w%w%w)')
for index, key in ipairs(KEYS) do
  local value = ARGV[index + 1]
  local there = redis.call('GETRANGE', key, 0, 16)
  local keep = false
  if string.sub(there, 10) == tag then
    local old, new = string.sub(there, 2, 9), string.sub(value, 2, 9)
    keep = old > new
    if old == new then
      local kind, by = string.sub(there, 1, 1), string.sub(value, 1, 1)
      keep = by == '?' or (kind == 'x' and by == 'v')
    end
  end
  if not keep then
    value = string.sub(value, 1, 9) .. tag .. string.sub(value, 10)
    redis.call('SET', key, value, 'PX', ARGV[1])
  end
end
"""
)


class VersionedBytes:
    """Values by key. All methods raise Unavailable when Valkey does not answer."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def put(self, key: str, version: int, value: bytes, ttl: timedelta) -> None:
        """Writes the value unless a newer version stands or is about to."""
        await self._write({key: _packed(_VALUE, version, value)}, ttl)

    async def put_all(
        self, values: Mapping[str, tuple[int, bytes]], ttl: timedelta
    ) -> None:
        """put() for several keys at once: (version, value) by key."""
        packed = {key: _packed(_VALUE, *value) for key, value in values.items()}
        await self._write(packed, ttl)

    async def block(self, key: str, version: int, ttl: timedelta) -> None:
        """Takes the value away before a change to this version commits. What is
        put with this version, or a newer one, ends it; the ttl does too."""
        await self._write({key: _packed(_BLOCKED, version)}, ttl)

    async def tombstone(self, key: str, version: int, ttl: timedelta) -> None:
        """Says that the thing is gone, as of this version."""
        await self._write({key: _packed(_GONE, version)}, ttl)

    def current(self, raw: bytes | None) -> bytes | None:
        """The value; None when the owner must be asked, or it is gone."""
        if raw is None or not self._valkey.is_current(raw[_TAG:_HEAD]):
            return None
        return self.parse(raw)

    @staticmethod
    def parse(raw: bytes | None) -> bytes | None:
        """The same, of whichever run it is."""
        if raw is None or raw[:1] != _VALUE:
            return None
        return raw[_HEAD:]

    @staticmethod
    def version(raw: bytes | None) -> int | None:
        """The version of what stands there, whatever it is."""
        if raw is None or len(raw) < _HEAD:
            return None
        return int.from_bytes(raw[1:_TAG], "big")

    @staticmethod
    def is_gone(raw: bytes | None) -> bool:
        """Whether it says that the thing is gone: the owner need not be asked."""
        return raw is not None and raw[:1] == _GONE

    async def _write(self, values: Mapping[str, bytes], ttl: timedelta) -> None:
        expiry = int(ttl.total_seconds() * 1000)
        for group in self._valkey.slots(values):
            args: list[int | bytes] = [expiry, *(values[key] for key in group)]
            await self._valkey.call(WRITE, group, args)


def _packed(kind: bytes, version: int, value: bytes = b"") -> bytes:
    return kind + version.to_bytes(8, "big") + value
