"""Rate limits: one script for a person's bucket and their address's together.

The algorithm is GCRA: a bucket is one number, the time at which it will be empty
again. When Valkey does not answer, each process limits by itself; sign-in, which
guesses are aimed at, is then refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chassis.clock import Clock, SystemClock
from chassis.errors import Unavailable
from chassis.limits_gcra import Bucket, LocalBuckets, State, ValkeyBuckets
from chassis.limits_profiles import DEVELOPMENT, PRODUCTION, Limit, RateClass
from chassis.valkey import Valkey

__all__ = ["DEVELOPMENT", "PRODUCTION", "Decision", "Limit", "RateClass", "RateLimits"]


@dataclass(frozen=True)
class Decision:
    """What the limits say about one call."""

    allowed: bool
    limit: int
    """Calls that the tightest limit allows at once."""

    remaining: int
    """Calls that are left of it now."""

    reset: float
    """Seconds until it is whole again."""

    retry_after: float
    """Seconds until the call would be allowed; 0 when it is."""


UNLIMITED = Decision(allowed=True, limit=0, remaining=0, reset=0, retry_after=0)


class RateLimits:
    """Draws from the buckets of a class. Service tokens are not drawn for at all:
    that is the edge's to know."""

    def __init__(
        self,
        valkey: Valkey,
        classes: Mapping[str, RateClass],
        *,
        clock: Clock | None = None,
    ) -> None:
        self._shared = ValkeyBuckets(valkey=valkey)
        self._classes = classes
        self._local = LocalBuckets(clock=clock or SystemClock())

    async def take(self, name: str, user: int, ip: str, cost: int = 1) -> Decision:
        """Draws cost tokens from every bucket, or from none when one is too empty.

        `user` is 0 for a caller without a token. Raises KeyError for a class that
        is not set, Unavailable when a class that fails closed cannot be checked.
        """
        rate = self._classes[name]
        buckets = _buckets(name, rate, user, ip)
        if not buckets:
            return UNLIMITED
        cost = max(cost, 1)
        try:
            states = await self._shared.take(buckets, cost)
        except Unavailable:
            if rate.fails_closed:
                raise
            states = await self._local.take(buckets, cost)
        return _decision(buckets, states, cost)


def _buckets(name: str, rate: RateClass, user: int, ip: str) -> list[Bucket]:
    buckets = []
    if user:
        for index, limit in enumerate(rate.per_user):
            buckets.append(Bucket(f"rl:{name}:u{index}:{{{user}}}", limit))
    for index, limit in enumerate(rate.per_ip):
        buckets.append(Bucket(f"rl:{name}:i{index}:{{{ip}}}", limit))
    return buckets


def _decision(
    buckets: Sequence[Bucket], states: Sequence[State], cost: int
) -> Decision:
    """Told is the limit that refuses for longest, else the one nearest its end."""
    wait = max(state.wait_us for state in states)
    bucket, state = max(
        zip(buckets, states, strict=True),
        key=lambda pair: (pair[1].wait_us, -pair[1].left, pair[1].reset_us),
    )
    return Decision(
        allowed=wait == 0,
        limit=bucket.limit.burst,
        remaining=state.left,
        reset=state.reset_us / 1_000_000,
        retry_after=wait / 1_000_000,
    )
