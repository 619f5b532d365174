"""Version marks: which version of what a cache holds is the current one.

The owner marks a version as unknown before it commits a change and as known
afterwards. Unknown, missing and unreadable all mean the same to a reader: ask the
owner. Caches compare what they hold with the mark, which they read together with
everything else a page needs.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from chassis.change_log import ChangeLog, ChangeLogReader, Changes
from chassis.errors import Unavailable
from chassis.recent_list import RecentList
from chassis.retries import Retries
from chassis.valkey import Script, Valkey
from chassis.versioned_bytes import VersionedBytes

__all__ = [
    "ChangeLog",
    "ChangeLogReader",
    "Changes",
    "RecentList",
    "VersionMarks",
    "VersionedBytes",
]

# KEYS: the marks. ARGV: version, milliseconds. A mark that knows this version or
# a newer one, or waits for a newer one, stays. The unknown mark expires, so that a
# change that was never committed does not leave it for good.
BEGIN = Script(
    """
for _, key in ipairs(KEYS) do
  local mark = redis.call('GET', key)
  local standing = mark and tonumber(string.match(mark, '%d+')) or -1
  if standing < tonumber(ARGV[1]) then
    redis.call('SET', key, '?' .. ARGV[1], 'PX', ARGV[2])
  end
end
"""
)

# The same, but the version itself may settle what waits for it.
SETTLE = Script(
    """
for _, key in ipairs(KEYS) do
  local mark = redis.call('GET', key)
  local standing = mark and tonumber(string.match(mark, '%d+')) or -1
  if standing <= tonumber(ARGV[1]) then
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
  end
end
"""
)

# A mark that is there was written by a change, which knows better.
RESTORE = Script("return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')")

UNKNOWN_FOR = timedelta(minutes=1)
KNOWN_FOR = timedelta(days=7)


class VersionMarks:
    """The current version of many things, by id.

    No method fails: a mark that cannot be written does not stop a change. It
    is written as soon as Valkey answers again.
    """

    def __init__(self, valkey: Valkey, prefix: str = "gv") -> None:
        self._valkey = valkey
        self._prefix = prefix
        self._retries = Retries(valkey)

    def key(self, identifier: int) -> str:
        return f"{self._prefix}:{{{identifier}}}"

    async def begin(self, ids: Iterable[int], version: int) -> None:
        """Makes the version unknown: version is about to be committed."""
        await self._mark("begin", BEGIN, ids, version, UNKNOWN_FOR)

    async def settle(self, ids: Iterable[int], version: int) -> None:
        """Makes the version known: it is committed. Keeps what a newer change
        began or settled. Also repairs a mark that is missing."""
        await self._mark("settle", SETTLE, ids, version, KNOWN_FOR)

    async def restore(self, identifier: int, version: int) -> None:
        """Puts back a mark that is missing: version was read from the record.

        A change under way keeps its own mark. Without Valkey nothing is put back.
        """
        lasting = int(KNOWN_FOR.total_seconds() * 1000)
        with suppress(Unavailable):
            await self._valkey.call(RESTORE, [self.key(identifier)], [version, lasting])

    @staticmethod
    def parse(raw: bytes | None) -> int | None:
        """The version; None when it is unknown."""
        if raw is None or not raw.isdigit():
            return None
        return int(raw)

    async def _mark(
        self,
        name: str,
        script: Script,
        ids: Iterable[int],
        version: int,
        lasting: timedelta,
    ) -> None:
        keys = [self.key(identifier) for identifier in dict.fromkeys(ids)]
        args = [version, int(lasting.total_seconds() * 1000)]
        for group in self._valkey.slots(keys):

            async def write(group: list[str] = group) -> Any:
                await self._valkey.call(script, group, args)

            what = f"{name} {','.join(group)} {version}"
            await self._retries.attempt(what, write)
