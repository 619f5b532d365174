"""Rules of the Readers port."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from chassis.ids import floor_of
from chassis.testing import NOON, FakeClock

from svc_feed.model import UserId
from svc_feed.ports import Readers

HOT_TTL = timedelta(hours=24)
IDLE_AFTER = timedelta(days=30)

# Accounts made an hour and a year before the clock of the test.
NEW = UserId(floor_of(NOON - timedelta(hours=1)) + 1)
AGED = UserId(floor_of(NOON - timedelta(days=365)) + 1)


class ReadersContract:
    """Rules every Readers keeps. Subclasses open empty ones with these times."""

    def open_readers(self, clock: FakeClock) -> AbstractAsyncContextManager[Readers]:
        raise NotImplementedError

    async def test_a_new_account_counts_as_read(self) -> None:
        """Nothing is kept of it, and it is not idle; an old account is."""
        clock = FakeClock()
        async with self.open_readers(clock) as readers:
            new, aged = await readers.state(NEW), await readers.state(AGED)

            assert new.last_read is None
            assert (new.pulls, new.is_whole) == (False, True)
            assert not readers.is_idle(NEW, new)
            assert readers.is_idle(AGED, aged)

    async def test_touching_answers_when_they_read_before(self) -> None:
        """Never at first; asking changes nothing."""
        clock = FakeClock()
        async with self.open_readers(clock) as readers:
            first = await readers.touch(NEW)
            clock.advance(60)
            await readers.state(NEW)
            second = await readers.touch(NEW)
            third = await readers.state(NEW)

        assert first.last_read is None
        assert second.last_read == NOON
        assert third.last_read == NOON + timedelta(seconds=60)
        assert first.is_whole
        assert second.is_whole

    async def test_an_idle_reader_who_comes_back_is_not_whole(self) -> None:
        """Until that is noted; a reader within the time stays whole."""
        clock = FakeClock()
        async with self.open_readers(clock) as readers:
            await readers.touch(NEW)
            clock.advance(29 * 86_400)
            assert (await readers.touch(NEW)).is_whole
            clock.advance(31 * 86_400)
            came_back = await readers.touch(NEW)
            again = await readers.touch(NEW)
            await readers.set_whole(NEW, True)

            assert not came_back.is_whole
            assert not again.is_whole
            assert not readers.is_idle(NEW, again)
            assert (await readers.touch(NEW)).is_whole

    async def test_an_old_account_that_reads_first_is_not_whole(self) -> None:
        """Fan-out passed over it since it was a month old."""
        async with self.open_readers(FakeClock()) as readers:
            assert not (await readers.touch(AGED)).is_whole
            assert not (await readers.state(AGED)).is_whole

    async def test_of_two_at_once_one_sees_the_other(self) -> None:
        """However many come at once, one of them was the first."""
        async with self.open_readers(FakeClock()) as readers:
            states = await asyncio.gather(*(readers.touch(NEW) for _ in range(8)))

        assert sorted(one.last_read is None for one in states) == [False] * 7 + [True]

    @pytest.mark.parametrize("comes_first", [True, False])
    async def test_pulling_is_kept_beside_reading(self, comes_first: bool) -> None:
        """Whether or not something is kept already; neither changes the other."""
        async with self.open_readers(FakeClock()) as readers:
            if comes_first:
                await readers.touch(AGED)
            await readers.set_pulls(AGED, True)
            state = await readers.state(AGED)
            assert state.pulls
            assert (state.last_read is not None) == comes_first

            await readers.touch(AGED)
            await readers.set_pulls(AGED, False)
            assert not (await readers.state(AGED)).pulls

    async def test_whole_is_noted_of_somebody_unknown(self) -> None:
        """As switching from pulled to placed does."""
        async with self.open_readers(FakeClock()) as readers:
            await readers.set_whole(NEW, False)
            await readers.set_whole(NEW, False)

            assert not (await readers.state(NEW)).is_whole
            assert (await readers.state(NEW)).last_read is None

    async def test_readers_are_gone_through_by_id(self) -> None:
        """Those of whom something is kept, to the last."""
        async with self.open_readers(FakeClock()) as readers:
            await readers.touch(NEW)
            await readers.touch(AGED)

            assert await readers.next_after(UserId(0)) == AGED
            assert await readers.next_after(AGED) == NEW
            assert await readers.next_after(NEW) is None

    async def test_tiers_follow_from_when_they_read(self) -> None:
        """Hot for the life of a hot feed, then warm, then cold."""
        clock = FakeClock()
        async with self.open_readers(clock) as readers:
            assert dict(await readers.tiers()) == {"hot": 0, "warm": 0, "cold": 0}
            await readers.touch(NEW)
            await readers.set_pulls(AGED, False)
            assert dict(await readers.tiers()) == {"hot": 1, "warm": 0, "cold": 1}
            clock.advance(86_401)
            assert dict(await readers.tiers()) == {"hot": 0, "warm": 1, "cold": 1}

    async def test_who_is_gone_is_forgotten(self) -> None:
        """As if they had never read; forgetting nobody changes nothing."""
        async with self.open_readers(FakeClock()) as readers:
            await readers.touch(NEW)
            await readers.forget(NEW)
            await readers.forget(AGED)

            assert (await readers.state(NEW)).last_read is None
            assert await readers.next_after(UserId(0)) is None
