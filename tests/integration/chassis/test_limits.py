"""Rate limits in a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.limits import Limit, RateClass, RateLimits
from chassis.limits_gcra import ValkeyBuckets
from chassis.testing import valkey
from chassis.valkey import open_valkey

from tests.contract.rate_buckets_contract import RateBucketsContract

CLASSES = {
    "write": RateClass(per_user=(Limit(5, 3600, 5),), per_ip=(Limit(8, 3600, 8),))
}


class TestValkeyBuckets(RateBucketsContract):
    @asynccontextmanager
    async def open_buckets(self) -> AsyncIterator[ValkeyBuckets]:
        async with valkey() as settings, open_valkey(settings) as client:
            yield ValkeyBuckets(valkey=client)


async def test_processes_share_the_buckets() -> None:
    """As many calls pass through two gateways as through one."""
    async with (
        valkey() as settings,
        open_valkey(settings) as one,
        open_valkey(settings) as two,
    ):
        gates = [RateLimits(one, CLASSES), RateLimits(two, CLASSES)]
        decisions = await asyncio.gather(
            *(gates[n % 2].take("write", 1, "192.0.2.1") for n in range(20))
        )

    assert sum(decision.allowed for decision in decisions) == 5


async def test_an_address_is_limited_whoever_calls_from_it() -> None:
    """Another account does not help somebody whose address is used up."""
    async with valkey() as settings, open_valkey(settings) as client:
        limits = RateLimits(client, CLASSES)
        for user in range(1, 9):
            assert (await limits.take("write", user, "192.0.2.1")).allowed
        refused = await limits.take("write", 99, "192.0.2.1")

        assert not refused.allowed
        assert (refused.limit, refused.remaining) == (8, 0)
        assert (await limits.take("write", 99, "192.0.2.2")).allowed
