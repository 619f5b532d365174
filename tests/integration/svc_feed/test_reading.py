"""Readers who were away, follow too many, refresh, count: over real engines."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import events_pb2 as graph_events

from chassis.clock import SystemClock
from chassis.ids import floor_of
from chassis.testing import eventually

from domain.visibility import Relation
from tests.support.feed import FeedRoom, feed_room, person

ANN, BEN, CAT, STAR = map(person, (1, 2, 3, 4))
# An account of the first day there was, who has never read.
OLD = 105

REBUILT = feed_pb2.SERVED_FROM_REBUILT
CACHED = feed_pb2.SERVED_FROM_CACHED_REFRESH


def shown(page: feed_pb2.GetHomeFeedResponse) -> list[int]:
    return [item.post.post_id for item in page.items]


async def is_placed(room: FeedRoom, reader: int, *ids: int) -> None:
    """Waits until a reader who is no idle one finds the posts."""

    async def check() -> None:
        assert set(ids) <= set(await room.ids_of(reader, size=100))

    await eventually(check)


async def test_an_idle_reader_comes_back_to_a_full_feed() -> None:
    """Fan-out passed over them; the first page is rebuilt, the rest follows."""
    async with feed_room(hot_window=100) as room:
        await room.follow(OLD, BEN)
        await room.follow(ANN, BEN)
        posts = [await room.post(BEN) for _ in range(130)]
        await is_placed(room, ANN, *posts[-100:])

        first = await room.page(OLD, size=20)
        assert shown(first) == posts[:-21:-1]
        assert first.served_from == REBUILT
        seen, page = shown(first), first
        while page.next_page_token:
            page = await room.page(OLD, size=40, token=page.next_page_token)
            seen += shown(page)
        assert seen == posts[::-1]
        assert page.end_reason == feed_pb2.END_REASON_COMPLETE

        last = await room.post(BEN)
        await is_placed(room, OLD, last)
        again = await room.page(OLD)
        assert again.served_from == feed_pb2.SERVED_FROM_HOT

        async def whole() -> None:
            deep = await room.page(OLD, size=100)
            below = await room.page(OLD, size=40, token=deep.next_page_token)
            assert below.served_from == feed_pb2.SERVED_FROM_INDEX
            assert shown(deep) + shown(below) == [last, *posts[::-1]]

        await eventually(whole)


async def test_who_follows_too_many_pulls_and_is_placed_for_again() -> None:
    """Both ways without missing a post."""
    async with feed_room(pull_all_above=1, pulled_ttl=timedelta(seconds=3)) as room:
        for author in (BEN, CAT):
            await room.follow(ANN, author)
            await room.publish(
                graph_events.UserFollowed(follower_id=ANN, followee_id=author)
            )
        posts: list[int] = []

        async def pulls() -> None:
            posts.append(await room.post(BEN))
            assert (await room.page(ANN)).served_from == REBUILT

        # Each try waits for what was hot before to expire.
        await eventually(pulls, timeout=20)

        async def is_hot() -> None:
            page = await room.page(ANN)
            assert shown(page) == posts[::-1]
            assert page.served_from == feed_pb2.SERVED_FROM_HOT

        await eventually(is_hot, timeout=20)
        await room.relate(ANN, CAT, Relation())
        await room.relate(ANN, BEN, Relation())
        for author in (BEN, CAT):
            await room.publish(
                graph_events.UserUnfollowed(follower_id=ANN, followee_id=author)
            )
        await room.follow(ANN, BEN)
        posts.append(await room.post(BEN))

        async def placed() -> None:
            assert await room.ids_of(ANN) == posts[::-1]
            assert (await room.page(ANN)).served_from != REBUILT
            assert await room.valkey.get(f"hot:{{{ANN}}}") is not None

        await eventually(placed, timeout=20)


async def test_a_refresh_too_soon_gets_the_last_page() -> None:
    """Across the round trip of Valkey, and a block of meanwhile holds."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        await room.follow(ANN, CAT)
        of_ben, of_cat = await room.post(BEN), await room.post(CAT)
        await is_placed(room, ANN, of_ben, of_cat)
        first = await room.page(ANN, refresh=True)
        newer = await room.post(BEN)
        await is_placed(room, ANN, newer)

        async def cached() -> None:
            again = await room.page(ANN, refresh=True)
            assert again.served_from == CACHED
            assert shown(again) == shown(first) == [of_cat, of_ben]

        await eventually(cached)
        await room.relate(ANN, CAT, Relation(is_blocked_by=True))
        assert shown(await room.page(ANN, refresh=True)) == [of_ben]

        async def anew() -> None:
            assert shown(await room.page(ANN, refresh=True)) == [newer, of_ben]

        await eventually(anew, timeout=20)


async def test_new_posts_are_counted_from_the_last_top() -> None:
    """By the count and by the next first page; then they are not new."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        await room.follow(CAT, BEN)
        first = await room.post(BEN)
        await is_placed(room, ANN, first)
        newer = [await room.post(BEN) for _ in range(3)]
        await is_placed(room, CAT, *newer)

        async def counted() -> None:
            assert await room.new_post_count(ANN) == 3

        await eventually(counted)
        assert (await room.page(ANN)).new_post_count == 3

        async def none() -> None:
            assert await room.new_post_count(ANN) == 0

        await eventually(none)


async def test_items_say_how_many_follow_their_author() -> None:
    """Beside the counts of the post, not in its bytes."""
    async with feed_room() as room:
        room.peers.followers[BEN] = 4_711
        await room.follow(ANN, BEN)
        post_id = await room.post(BEN)
        await is_placed(room, ANN, post_id)

        (item,) = (await room.page(ANN)).items

        assert item.stats.author_follower_count == 4_711


async def test_readers_of_a_celebrity_share_one_load() -> None:
    """Hundreds of readers cost one question for recent posts in 30 seconds."""
    async with feed_room(graph_seconds=5, repairs=0) as room:
        room.peers.celebrities.add(STAR)
        readers = [person(100 + number) for number in range(100)]
        for reader in readers:
            await room.follow(reader, STAR)
        post_id = room.store(STAR)
        for start in range(0, 300, 20):
            some = readers[start % 100 :][:20]
            pages = await asyncio.gather(*map(room.page, some))
            assert all(shown(page) == [post_id] for page in pages)

        assert sum(STAR in authors for authors in room.peers.recents) == 1


async def test_a_crossing_author_is_pulled_from_the_next_page_on() -> None:
    """The change log tells every process that keeps whom a reader pulls."""
    async with feed_room() as room:
        await room.follow(ANN, STAR)
        await room.own.append(ANN, 1)
        first = room.store(STAR)
        assert await room.ids_of(ANN) == []
        room.peers.celebrities.add(STAR)
        await room.log.append([f"c:{STAR}"])

        assert await room.ids_of(ANN) == [first]


async def test_a_feed_ends_at_the_edge_of_the_index() -> None:
    """Older posts exist and are not shown: the end says so."""
    async with feed_room(index_age=timedelta(hours=1)) as room:
        await room.follow(OLD, BEN)
        room.peers.since_ms.clear()
        old = floor_of(SystemClock().now() - timedelta(hours=2))
        post = room.peers.posts[room.store(BEN)]
        newer = room.store(BEN)
        del room.peers.posts[post.post_id]
        post.post_id = old
        room.peers.posts[old] = post

        page = await room.page(OLD)

        assert shown(page) == [newer]
        assert page.end_reason == feed_pb2.END_REASON_ARCHIVE_EDGE
