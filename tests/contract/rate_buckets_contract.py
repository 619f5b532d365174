"""Rules of rate limit buckets, wherever they are kept."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chassis.limits import Limit
from chassis.limits_gcra import Bucket, State

HOUR = 3600.0
MICROSECONDS = 1_000_000

# Within a test no token comes back.
TEN = Bucket("rl:t:u0:{1}", Limit(10, HOUR, burst=10))
THREE = Bucket("rl:t:u1:{1}", Limit(3, HOUR, burst=3))
ELSE = Bucket("rl:t:u0:{2}", Limit(10, HOUR, burst=10))


class Buckets(Protocol):
    async def take(self, buckets: Sequence[Bucket], cost: int) -> list[State]: ...


class RateBucketsContract:
    """Rules all buckets keep. Subclasses say how to open full ones."""

    def open_buckets(self) -> AbstractAsyncContextManager[Buckets]:
        raise NotImplementedError

    async def test_a_burst_passes_and_the_next_call_waits(self) -> None:
        """As many calls as the burst at once; then one for each interval."""
        async with self.open_buckets() as buckets:
            taken = [(await buckets.take([TEN], 1))[0] for _ in range(11)]

        assert [state.wait_us > 0 for state in taken] == [False] * 10 + [True]
        assert [state.left for state in taken] == [*range(9, -1, -1), 0]
        assert 355 < taken[-1].wait_us / MICROSECONDS <= 360
        assert 3590 < taken[-1].reset_us / MICROSECONDS <= 3600

    async def test_a_refused_call_draws_nothing(self) -> None:
        """Trying again does not make the wait longer."""
        async with self.open_buckets() as buckets:
            await buckets.take([TEN], 10)
            first = (await buckets.take([TEN], 1))[0]
            second = (await buckets.take([TEN], 1))[0]

        assert second.wait_us <= first.wait_us

    async def test_a_call_draws_its_cost(self) -> None:
        """A dear call takes several tokens or none."""
        async with self.open_buckets() as buckets:
            first = (await buckets.take([TEN], 7))[0]
            dear = (await buckets.take([TEN], 4))[0]
            cheap = (await buckets.take([TEN], 3))[0]

        assert (first.left, dear.left, cheap.left) == (3, 3, 0)
        assert (dear.wait_us > 0, cheap.wait_us) == (True, 0)

    async def test_all_buckets_are_drawn_from_or_none(self) -> None:
        """A call that one refuses costs nothing in the other."""
        async with self.open_buckets() as buckets:
            await buckets.take([THREE], 3)
            both = await buckets.take([TEN, THREE], 1)
            ten = (await buckets.take([TEN], 1))[0]

        assert both[0].wait_us == 0
        assert both[1].wait_us > 0
        assert ten.left == 9

    async def test_buckets_are_apart(self) -> None:
        """What one person does is not counted against another."""
        async with self.open_buckets() as buckets:
            await buckets.take([TEN], 10)

            assert (await buckets.take([ELSE], 1))[0].wait_us == 0
