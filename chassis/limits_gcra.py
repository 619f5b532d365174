"""GCRA twice: as a script in Valkey, and in this process.

A bucket is the theoretical arrival time (tat): when it will be empty again. A call
of some cost fits when tat + cost * interval is at most now + burst * interval. All
times are microseconds; both forms count alike, which a contract suite checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from chassis.clock import Clock
from chassis.limits_profiles import Limit
from chassis.valkey import Script, Valkey

_MICROSECONDS = 1_000_000
_MOST_BUCKETS = 100_000

# KEYS: the buckets. ARGV: cost, then for each bucket its interval and burst.
# Answers for each bucket: microseconds to wait (0 when it fits), tokens left,
# microseconds until it is whole. Draws from all or from none.
GCRA = Script(
    """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local cost = tonumber(ARGV[1])
local tats, waits, refused = {}, {}, false
for index, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * index]), tonumber(ARGV[2 * index + 1])
  local tat = math.max(tonumber(redis.call('GET', key) or '0'), now)
  tats[index] = tat
  waits[index] = math.max(0, tat + cost * interval - now - burst * interval)
  refused = refused or waits[index] > 0
end
local answer = {}
for index, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * index]), tonumber(ARGV[2 * index + 1])
  local tat = tats[index]
  if not refused then
    tat = tat + cost * interval
    local life = math.ceil((tat - now) / 1000)
    redis.call('SET', key, string.format('%.0f', tat), 'PX', life)
  end
  answer[#answer + 1] = waits[index]
  answer[#answer + 1] = math.floor((now + burst * interval - tat) / interval)
  answer[#answer + 1] = tat - now
end
return answer
"""
)


@dataclass(frozen=True)
class Bucket:
    """One bucket of somebody."""

    key: str
    limit: Limit

    @property
    def interval(self) -> int:
        """Microseconds in which one token comes back."""
        return max(1, round(self.limit.period * _MICROSECONDS / self.limit.calls))

    @property
    def arguments(self) -> tuple[int, int]:
        return self.interval, self.limit.burst


@dataclass(frozen=True)
class State:
    """A bucket after a call."""

    wait_us: int
    """Until the call would fit; 0 when it does."""

    left: int
    """Tokens left."""

    reset_us: int
    """Until all tokens are back."""


class ValkeyBuckets:
    """The buckets that all processes share.

    One script in one round trip where there is one node. In a cluster the buckets
    of a person and of an address lie apart and are drawn from singly: a refusal by
    one may then cost a token of the other.
    """

    def __init__(self, *, valkey: Valkey) -> None:
        self._valkey = valkey

    async def take(self, buckets: Sequence[Bucket], cost: int) -> list[State]:
        """Draws from all or from none. Raises Unavailable."""
        by_key = {bucket.key: bucket for bucket in buckets}
        states: dict[str, State] = {}
        for keys in self._valkey.slots(by_key):
            args = [cost]
            for key in keys:
                args += by_key[key].arguments
            flat = await self._valkey.call(GCRA, keys, args)
            numbers = [int(number) for number in flat]
            for index, key in enumerate(keys):
                states[key] = State(*numbers[3 * index : 3 * index + 3])
        return [states[bucket.key] for bucket in buckets]


class LocalBuckets:
    """The buckets of this process; the least used are forgotten first."""

    def __init__(self, *, clock: Clock, most: int = _MOST_BUCKETS) -> None:
        self._clock = clock
        self._tats: LRUCache[str, int] = LRUCache(most)

    async def take(self, buckets: Sequence[Bucket], cost: int) -> list[State]:
        """Draws from all or from none."""
        now = round(self._clock.monotonic() * _MICROSECONDS)
        tats = [max(self._tats.get(bucket.key, 0), now) for bucket in buckets]
        waits = [
            max(0, tat + (cost - bucket.limit.burst) * bucket.interval - now)
            for tat, bucket in zip(tats, buckets, strict=True)
        ]
        states = []
        for tat, wait, bucket in zip(tats, waits, buckets, strict=True):
            if not any(waits):
                tat += cost * bucket.interval
                self._tats[bucket.key] = tat
            whole = now + bucket.limit.burst * bucket.interval
            states.append(State(wait, (whole - tat) // bucket.interval, tat - now))
        return states
