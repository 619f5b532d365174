"""The twins that stand in for engines keep the rules of their ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from svc_feed.ports import FeedIndex
from tests.contract.feed_index_contract import FeedIndexContract
from tests.contract.hot_feeds_contract import WINDOW, HotFeedsContract, Readable
from tests.support.home_feeds import MemoryFeedIndex, MemoryHotFeeds


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
