"""A short log of what changed, in Valkey, for near caches to follow.

A page reads the head of the log in its one round trip. A cache that is behind
fetches what it lacks and drops those entries; one that cannot tell what it lacks
empties itself.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.retries import Retries
from chassis.valkey import Script, Valkey

KEPT = 4096

# KEYS: head, log. ARGV: how many are kept, the entries. A head that is missing
# starts from the time, so that no earlier number ever comes again.
APPEND = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
  redis.call('SET', KEYS[1], redis.call('TIME')[1] .. '000000')
end
for index = 2, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[index])
end
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[1]), -1)
return redis.call('INCRBY', KEYS[1], #ARGV - 1)
"""
)

# KEYS: head, log. ARGV: the number of the last entry known. Answers the head and
# the entries after it; the head alone when they are no longer all there.
SINCE = Script(
    """
local head = redis.call('GET', KEYS[1])
if not head then
  return {'0'}
end
local behind = tonumber(head) - tonumber(ARGV[1])
if behind < 0 or behind > redis.call('LLEN', KEYS[2]) then
  return {head}
end
if behind == 0 then
  return {head, {}}
end
return {head, redis.call('LRANGE', KEYS[2], -behind, -1)}
"""
)


@dataclass(frozen=True)
class Changes:
    """What a near cache must forget."""

    entries: tuple[str, ...] = ()
    """What changed, in order."""

    reset: bool = False
    """True when that is not known: everything must go."""


class ChangeLog:
    """The writers' side."""

    def __init__(self, valkey: Valkey, name: str = "chg") -> None:
        self.valkey = valkey
        self.head_key = f"{{{name}}}:head"
        self.log_key = f"{{{name}}}:log"
        self._retries = Retries(valkey)
        self._number = 0

    async def append(self, entries: Sequence[str]) -> None:
        """Adds entries, before the change commits. Never fails: what cannot be
        written now is written when Valkey answers again."""
        if not entries:
            return
        self._number += 1
        await self._retries.attempt(
            f"change {self._number}",
            lambda: self.valkey.call(
                APPEND, [self.head_key, self.log_key], [KEPT, *entries]
            ),
        )

    @asynccontextmanager
    async def around(self, entries: Sequence[str]) -> AsyncIterator[None]:
        """Adds entries before the block, which commits, and once more after it:
        for caches that filled themselves again in between."""
        await self.append(entries)
        try:
            yield
        finally:
            await self.append(entries)


class ChangeLogReader:
    """The side of one process's near caches."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log
        self._head: int | None = None
        self._epoch = ""
        self._lock = asyncio.Lock()

    async def apply(self, head_raw: bytes | None, epoch: str) -> Changes:
        """What changed since the last call. Each change is answered to one call:
        the caller drops it from the caches before it reads them.

        `head_raw` is the value of head_key, `epoch` that of Valkey at that time.
        Raises Unavailable when what changed cannot be fetched; nothing is lost by
        that, the next call fetches it.
        """
        if self._is_current(head_raw, epoch):
            return Changes()
        async with self._lock:
            if self._is_current(head_raw, epoch):
                return Changes()
            if head_raw is None or self._head is None or epoch != self._epoch:
                return self._reset(head_raw, epoch)
            keys = [self._log.head_key, self._log.log_key]
            head, *found = await self._log.valkey.call(SINCE, keys, [self._head])
            if not found:
                return self._reset(head if int(head) else None, epoch)
            self._head = int(head)
            return Changes(entries=tuple(entry.decode() for entry in found[0]))

    def _is_current(self, head_raw: bytes | None, epoch: str) -> bool:
        # A head read before that of another call is no reason to go back; one
        # that went backwards for real comes with its log emptied or a new epoch.
        return (
            head_raw is not None
            and self._head is not None
            and epoch == self._epoch
            and int(head_raw) == self._head
        )

    def _reset(self, head_raw: bytes | None, epoch: str) -> Changes:
        self._head = None if head_raw is None else int(head_raw)
        self._epoch = epoch
        return Changes(reset=True)
