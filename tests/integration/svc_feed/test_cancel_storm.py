"""Calls cancelled by their readers, on a whole svc_feed: everybody gets their own."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import asyncpg

from feedmesh.feed.v1 import feed_pb2

from chassis.testing import eventually

from svc_feed.hot import hot_key
from svc_feed.model import UserId
from tests.support.feed import FeedRoom, feed_room
from tests.support.storm import Storm

CALLS = 5_000
SEED = 18
READERS = 40
POSTS = 6
# Authors are this far from their only reader.
FROM_READER = 1_000

FILL = """
INSERT INTO feed_entry (viewer_id, post_id, author_id)
SELECT $1, post_id, $2 FROM unnest($3::bigint[]) AS post_id
"""
BUSY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""


@dataclass
class Asked:
    """Readers who follow one author each, whom nobody else follows."""

    room: FeedRoom
    random: Random
    posts: dict[int, list[int]]
    """By reader, newest first."""

    def somebody(self) -> int:
        return self.random.choice(list(self.posts))

    async def newest_first(self, _: str) -> None:
        reader = self.somebody()
        self.judge(reader, await self.room.page(reader))

    async def ranked(self, _: str) -> None:
        reader = self.somebody()
        self.judge(reader, await self.room.page(reader, order=feed_pb2.ORDER_RANKED))

    async def page_by_page(self, _: str) -> None:
        reader = self.somebody()
        first = await self.room.page(reader, size=4)
        if token := first.next_page_token:
            second = await self.room.page(reader, size=4, token=token)
            first.items.extend(second.items)
            first.end_reason = second.end_reason
        self.judge(reader, first)

    async def rebuilt(self, _: str) -> None:
        """From the index, as the hot copy is gone."""
        reader = self.somebody()
        await self.room.valkey.delete(hot_key(UserId(reader)))
        self.judge(reader, await self.room.page(reader))

    def judge(self, reader: int, page: feed_pb2.GetHomeFeedResponse) -> None:
        """What is on the page is the reader's; and all of it, if the page says so.

        It may say that something is withheld: a busy svc_graph is not waited for.
        """
        found = [item.post.post_id for item in page.items]
        assert set(found) <= set(self.posts[reader])
        assert len(set(found)) == len(found)
        if page.end_reason == feed_pb2.END_REASON_COMPLETE:
            assert len(found) == POSTS


async def test_no_page_reaches_another_reader() -> None:
    """And when it is over, nothing of it is left on the server."""
    async with feed_room() as room:
        readers = range(101, 101 + READERS)
        posts = {
            reader: sorted(
                (room.store(reader + FROM_READER) for _ in range(POSTS)), reverse=True
            )
            for reader in readers
        }
        index = await asyncpg.connect(room.settings.database)
        for reader in readers:
            author = reader + FROM_READER
            await room.follow(reader, author)
            await index.execute(FILL, reader, author, posts[reader])
        asked = Asked(room, Random(SEED), posts)

        storm = Storm(seed=SEED, in_flight=24, longest=0.08)
        await storm.rage(
            [asked.newest_first, asked.ranked, asked.page_by_page, asked.rebuilt], CALLS
        )

        assert storm.is_both(), storm.outcomes

        async def is_calm() -> bool:
            return bool(await index.fetchval(BUSY) == 0)

        await eventually(is_calm)
        await index.close()
        for reader in readers:
            assert await room.ids_of(reader) == posts[reader]
