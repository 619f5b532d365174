"""The twins that stand in for engines keep the rules of their ports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chassis.testing import FakeClock

from svc_feed.ports import FeedIndex, Readers
from tests.contract.feed_audience_contract import FeedAudienceContract
from tests.contract.feed_index_contract import FeedIndexContract
from tests.contract.hot_feeds_contract import WINDOW, HotFeedsContract, Readable
from tests.contract.reach_moves_contract import Opened, ReachMovesContract
from tests.contract.readers_contract import HOT_TTL, IDLE_AFTER, ReadersContract
from tests.support.feed_twins import MemoryFeedIndex, MemoryHotFeeds, MemoryReaders
from tests.support.feed_writing import MemoryReachMoves


class TestMemoryFeedIndex(FeedIndexContract):
    """FeedIndex in memory."""

    @asynccontextmanager
    async def open_index(self) -> AsyncIterator[FeedIndex]:
        yield MemoryFeedIndex()


class TestMemoryHotFeeds(HotFeedsContract):
    """HotFeeds in memory."""

    @asynccontextmanager
    async def open_hot_feeds(self) -> AsyncIterator[Readable]:
        yield MemoryHotFeeds(window=WINDOW)


class TestMemoryReaders(ReadersContract):
    """Readers in memory."""

    @asynccontextmanager
    async def open_readers(self, clock: FakeClock) -> AsyncIterator[Readers]:
        yield MemoryReaders(clock=clock, hot_ttl=HOT_TTL, idle_after=IDLE_AFTER)


class TestMemoryAudience(FeedAudienceContract):
    """The index and the readers in memory."""

    @asynccontextmanager
    async def open_both(
        self, clock: FakeClock
    ) -> AsyncIterator[tuple[FeedIndex, Readers]]:
        readers = MemoryReaders(clock=clock, hot_ttl=HOT_TTL, idle_after=IDLE_AFTER)
        yield MemoryFeedIndex(passes_over=readers.passes_over), readers


class TestMemoryReachMoves(ReachMovesContract):
    """ReachMoves in memory."""

    @asynccontextmanager
    async def open_moves(self) -> AsyncIterator[Opened]:
        moves = MemoryReachMoves()

        async def told() -> Sequence[tuple[int, int, int]]:
            return moves.left

        yield Opened(moves, told)
