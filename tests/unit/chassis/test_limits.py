"""Rate limits without Valkey: local buckets, profiles, failing closed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chassis import policy
from chassis.errors import Unavailable
from chassis.limits import DEVELOPMENT, PRODUCTION, Limit, RateClass, RateLimits
from chassis.limits_gcra import Bucket, LocalBuckets
from chassis.testing import FakeClock, refuses
from chassis.valkey import ValkeySettings, open_valkey

from tests.contract.rate_buckets_contract import TEN, RateBucketsContract

ABSENT = ValkeySettings(url="redis://127.0.0.1:1/0")
IP = "192.0.2.1"


class TestLocalBuckets(RateBucketsContract):
    @asynccontextmanager
    async def open_buckets(self) -> AsyncIterator[LocalBuckets]:
        yield LocalBuckets(clock=FakeClock())


async def test_tokens_come_back_one_by_one() -> None:
    """One for each interval, up to the burst."""
    clock = FakeClock()
    buckets = LocalBuckets(clock=clock)
    await buckets.take([TEN], 10)
    clock.advance(359)
    early = (await buckets.take([TEN], 1))[0]
    clock.advance(1)
    due = (await buckets.take([TEN], 1))[0]
    clock.advance(100_000)
    rested = (await buckets.take([TEN], 1))[0]

    assert early.wait_us == 1_000_000
    assert (due.wait_us, due.left) == (0, 0)
    assert rested.left == 9


async def test_the_least_used_buckets_are_forgotten() -> None:
    """Memory is bounded, whoever asks."""
    buckets = LocalBuckets(clock=FakeClock(), most=2)
    for number in range(3):
        await buckets.take([Bucket(f"k{number}", TEN.limit)], 10)

    assert (await buckets.take([Bucket("k0", TEN.limit)], 1))[0].wait_us == 0
    assert (await buckets.take([Bucket("k2", TEN.limit)], 1))[0].wait_us > 0


@asynccontextmanager
async def without_valkey(clock: FakeClock) -> AsyncIterator[RateLimits]:
    classes = {
        "create_post": PRODUCTION["create_post"],
        "login": PRODUCTION["login"],
        "free": RateClass(),
    }
    async with open_valkey(ABSENT) as valkey:
        yield RateLimits(valkey, classes, clock=clock)


async def test_every_limit_of_a_class_holds() -> None:
    """Ten an hour, and no more than three in ten seconds."""
    clock = FakeClock()
    allowed = 0
    async with without_valkey(clock) as limits:
        burst = [(await limits.take("create_post", 1, IP)).allowed for _ in range(4)]
        for _ in range(60):
            clock.advance(10)
            allowed += (await limits.take("create_post", 1, IP)).allowed
        refused = await limits.take("create_post", 1, IP)

    assert burst == [True, True, True, False]
    # The seven that are left of ten, and one that came back after six minutes.
    assert allowed == 8
    assert refused.limit == 10
    assert refused.remaining == 0
    assert 0 < refused.retry_after <= 360


async def test_sign_in_is_refused_when_guesses_cannot_be_counted() -> None:
    """Everything else is limited by each process for itself."""
    async with without_valkey(FakeClock()) as limits:
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await limits.take("login", 0, IP)

        assert (await limits.take("create_post", 1, IP)).allowed


async def test_a_class_without_limits_lets_everyone_pass() -> None:
    """Nothing is drawn, nothing is refused."""
    async with without_valkey(FakeClock()) as limits:
        assert (await limits.take("free", 1, IP)).allowed


@pytest.mark.parametrize("profile", [DEVELOPMENT, PRODUCTION])
def test_every_class_of_the_contract_has_limits(
    profile: dict[str, RateClass],
) -> None:
    """A class that is missing would be found by the first call."""
    named = {
        getattr(plan.policy.rate, "class")
        for plan in policy.methods().values()
        if plan.policy.HasField("rate")
    }

    assert named - {""} <= set(profile)


def test_development_is_generous() -> None:
    """A hundred sign-ins a second from one laptop, 200 calls a second per person."""
    for name in ("signup", "login"):
        assert all(_rate(limit) >= 100 for limit in DEVELOPMENT[name].per_ip)
    for rate in DEVELOPMENT.values():
        assert all(_rate(limit) >= 200 for limit in rate.per_user)


def _rate(limit: Limit) -> float:
    return limit.calls / limit.period


def test_production_is_strict() -> None:
    """The numbers of the production profile."""
    assert PRODUCTION["create_post"].per_user == (
        Limit(10, 3600, 10),
        Limit(3, 10, 3),
    )
    assert PRODUCTION["follow"].per_user == (Limit(60, 3600, 60),)
    assert PRODUCTION["feed"].per_user == (Limit(5, 1, 5),)
    assert PRODUCTION["login"].per_ip == (Limit(5, 60, 5),)
    assert PRODUCTION["handshake"].per_ip == (Limit(5, 60, 5),)
    assert PRODUCTION["anonymous"].per_ip == (Limit(60, 60, 60),)
