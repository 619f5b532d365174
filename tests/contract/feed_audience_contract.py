"""Rules of the FeedIndex port about readers for whom nothing is placed."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from chassis.ids import floor_of
from chassis.testing import NOON, FakeClock

from svc_feed.model import IDLE_MARGIN, Entry, PostId, UserId
from svc_feed.ports import FeedIndex, Readers
from tests.contract.readers_contract import AGED, IDLE_AFTER, NEW

OTHER = UserId(NEW + 1)
AUTHOR = UserId(AGED + 1)
POST = Entry(PostId(floor_of(NOON)), AUTHOR)
LATER = Entry(PostId(floor_of(NOON) + 1), AUTHOR)


class FeedAudienceContract:
    """Which readers an index passes over. Subclasses open an empty one with its
    readers, IDLE_AFTER, and with nothing near."""

    def open_both(
        self, clock: FakeClock
    ) -> AbstractAsyncContextManager[tuple[FeedIndex, Readers]]:
        raise NotImplementedError

    async def test_an_account_counts_as_read_when_it_was_made(self) -> None:
        """Of whom nothing is kept; what was placed is counted."""
        async with self.open_both(FakeClock()) as (index, _):
            placed = await index.add([AGED, NEW], POST)

            assert placed == 1
            assert await index.newest(NEW, limit=1) == [POST]
            assert await index.newest(AGED, limit=1) == []

    async def test_who_reads_is_placed_for_from_then_on(self) -> None:
        """However old the account, as soon as the reading is noted."""
        async with self.open_both(FakeClock()) as (index, readers):
            await index.add([AGED], POST)
            await readers.touch(AGED)
            await index.add([AGED], LATER)

            assert await index.newest(AGED, limit=2) == [LATER]

    async def test_the_idle_are_passed_over_later_than_they_count_as_idle(self) -> None:
        """So that nobody is passed over who is not rebuilt when they come back."""
        clock = FakeClock()
        async with self.open_both(clock) as (index, readers):
            await readers.touch(NEW)
            clock.advance((IDLE_AFTER + IDLE_MARGIN / 2).total_seconds())
            assert readers.is_idle(NEW, await readers.state(NEW))
            await index.add([NEW], POST)
            clock.advance(IDLE_MARGIN.total_seconds())
            await index.add([NEW], LATER)

            assert await index.newest(NEW, limit=2) == [POST]

    async def test_those_who_pull_are_passed_over(self) -> None:
        """Until they do no more."""
        async with self.open_both(FakeClock()) as (index, readers):
            await readers.touch(NEW)
            await readers.set_pulls(NEW, True)
            await index.add([NEW, OTHER], POST)
            await readers.set_pulls(NEW, False)
            await index.add([NEW, OTHER], LATER)

            assert await index.newest(NEW, limit=2) == [LATER]
            assert await index.newest(OTHER, limit=2) == [LATER, POST]

    async def test_the_author_is_never_passed_over(self) -> None:
        """Their own post is in their feed, whether they read or pull or not."""
        async with self.open_both(FakeClock()) as (index, readers):
            await index.add([AUTHOR], POST)
            await readers.set_pulls(AUTHOR, True)
            await index.add_all([AUTHOR], [LATER])

            assert await index.newest(AUTHOR, limit=2) == [LATER, POST]

    async def test_many_posts_pass_over_the_same_readers(self) -> None:
        """As one does."""
        async with self.open_both(FakeClock()) as (index, _):
            await index.add_all([AGED, NEW, OTHER], [LATER, POST])

            for reader, feed in ((AGED, []), (NEW, [LATER, POST])):
                assert await index.newest(reader, limit=3) == feed

    async def test_filling_passes_over_nobody(self) -> None:
        """What is filled in was asked for."""
        clock = FakeClock()
        async with self.open_both(clock) as (index, readers):
            await readers.set_pulls(NEW, True)
            clock.advance(timedelta(days=400).total_seconds())
            await index.fill(NEW, [POST])

            assert await index.newest(NEW, limit=1) == [POST]
