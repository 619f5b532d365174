"""FeedService over real gRPC, real engines and real events."""

from __future__ import annotations

import pytest

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import events_pb2 as graph_events
from feedmesh.ingest.v1 import events_pb2 as ingest_events
from feedmesh.ingest.v1 import post_pb2
from feedmesh.rank.v1 import rank_pb2

from chassis.errors import InvalidArgument, Unauthenticated
from chassis.testing import eventually, refuses

from domain.visibility import Relation
from tests.support.feed import FeedRoom, feed_room, person

ANN, BEN, CAT, STAR = map(person, (1, 2, 3, 4))

FOLLOWING = Relation(is_following=True)


async def sees(room: FeedRoom, reader: int, *ids: int) -> None:
    """Waits until the reader's feed holds exactly these."""

    async def check() -> None:
        assert await room.ids_of(reader) == sorted(ids, reverse=True)

    await eventually(check)


async def test_a_post_reaches_its_followers_and_its_author() -> None:
    """Published once, found by all, and by nobody else."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        post_id = await room.post(BEN)

        await sees(room, ANN, post_id)
        await sees(room, BEN, post_id)
        assert await room.ids_of(CAT) == []


async def test_a_repeated_event_changes_nothing() -> None:
    """Delivery is at least once; the effect is once."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        post_id = await room.post(BEN)
        await sees(room, ANN, post_id)
        await room.publish_post(post_id)
        last = await room.post(BEN)

        await sees(room, ANN, post_id, last)


async def test_a_page_is_served_hot_from_the_second_read_on() -> None:
    """And says so."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        first = await room.page(ANN)
        post_id = await room.post(BEN)
        await sees(room, ANN, post_id)

        page = await room.page(ANN)

        assert first.served_from == feed_pb2.SERVED_FROM_INDEX
        assert page.served_from == feed_pb2.SERVED_FROM_HOT
        assert page.items[0].author.handle == f"u{BEN}"


async def test_a_private_post_is_its_authors_alone() -> None:
    """Until it is widened: then followers find it as well."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        private = await room.post(BEN, visibility=post_pb2.VISIBILITY_PRIVATE)
        public = await room.post(BEN)
        await sees(room, ANN, public)
        await sees(room, BEN, private, public)

        room.peers.posts[private].visibility = post_pb2.VISIBILITY_FOLLOWERS
        await room.log.append([f"p:{private}"])
        await room.publish(
            ingest_events.PostUpdated(
                post_id=private,
                author_id=BEN,
                visibility=post_pb2.VISIBILITY_FOLLOWERS,
            )
        )

        await sees(room, ANN, private, public)


async def test_a_celebritys_post_is_pulled() -> None:
    """It stands in no index but the author's own."""
    async with feed_room() as room:
        room.peers.celebrities.add(STAR)
        await room.follow(ANN, STAR)
        post_id = await room.post(STAR)

        await sees(room, STAR, post_id)
        page = await room.page(ANN)
        assert [item.post.post_id for item in page.items] == [post_id]
        assert page.items[0].reason == feed_pb2.REASON_CELEBRITY
        assert "StreamFollowers" not in room.peers.calls


async def test_a_deleted_post_is_gone_at_once() -> None:
    """Before its event is handled, since the record no longer has it."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        posts = [await room.post(BEN) for _ in range(3)]
        await sees(room, ANN, *posts)
        await room.log.append([f"p:{posts[1]}"])
        del room.peers.posts[posts[1]]

        assert await room.ids_of(ANN) == [posts[2], posts[0]]
        await room.publish(ingest_events.PostDeleted(post_id=posts[1], author_id=BEN))
        await sees(room, ANN, posts[0], posts[2])


async def test_a_follow_fills_in_recent_posts() -> None:
    """Those of the last day that were posted before it."""
    async with feed_room() as room:
        posts = [room.store(BEN) for _ in range(3)]
        assert await room.ids_of(ANN) == []
        await room.follow(ANN, BEN)
        await room.publish(graph_events.UserFollowed(follower_id=ANN, followee_id=BEN))

        await sees(room, ANN, *posts)


async def test_an_unfollow_holds_from_the_next_read_on() -> None:
    """Before its event is handled; and a refollow brings the posts back."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        post_id = await room.post(BEN)
        await sees(room, ANN, post_id)
        await room.relate(ANN, BEN, Relation())

        assert await room.ids_of(ANN) == []
        await room.follow(ANN, BEN)
        await room.publish(
            graph_events.UserUnfollowed(follower_id=ANN, followee_id=BEN)
        )
        await sees(room, ANN, post_id)


async def test_a_block_empties_both_feeds_of_each_other() -> None:
    """From the next read on, and in the index behind it."""
    async with feed_room() as room:
        for reader, author in ((ANN, BEN), (BEN, ANN)):
            await room.follow(reader, author)
        of_ann, of_ben = await room.post(ANN), await room.post(BEN)
        await sees(room, ANN, of_ann, of_ben)
        await sees(room, BEN, of_ann, of_ben)
        await room.relate(ANN, BEN, Relation(is_blocking=True))
        await room.relate(BEN, ANN, Relation(is_blocked_by=True))

        assert await room.ids_of(ANN) == [of_ann]
        assert await room.ids_of(BEN) == [of_ben]
        await room.publish(graph_events.UserBlocked(blocker_id=ANN, blocked_id=BEN))
        await room.relate(ANN, BEN, FOLLOWING)
        await sees(room, ANN, of_ann, of_ben)


async def test_a_deleted_person_is_erased() -> None:
    """As author everywhere, and as reader."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        await room.follow(BEN, ANN)
        of_ann, of_ben = await room.post(ANN), await room.post(BEN)
        await sees(room, ANN, of_ann, of_ben)
        await sees(room, BEN, of_ann, of_ben)
        del room.peers.posts[of_ben]
        await room.log.append([f"p:{of_ben}"])
        await room.relate(BEN, ANN, Relation())
        await room.publish(graph_events.UserDeleted(user_id=BEN))

        await sees(room, BEN)
        await sees(room, ANN, of_ann)


async def test_authors_see_their_posts_before_fan_out() -> None:
    """From the list that svc_ingest keeps of them."""
    async with feed_room() as room:
        assert await room.ids_of(ANN) == []
        post_id = room.store(ANN)
        await room.own.append(ANN, post_id)

        assert await room.ids_of(ANN) == [post_id]


@pytest.mark.parametrize("order", [feed_pb2.ORDER_LATEST, feed_pb2.ORDER_RANKED])
async def test_following_tokens_yields_every_post_once(
    order: feed_pb2.Order.ValueType,
) -> None:
    """Over window and index, with posts that come in meanwhile."""
    async with feed_room(hot_window=100, rank_candidates=20) as room:
        await room.follow(ANN, BEN)
        posts = [await room.post(BEN) for _ in range(130)]

        async def check() -> None:
            assert len(await room.ids_of(ANN, size=100)) == 100
            page = await room.page(BEN, size=100)
            rest = await room.page(BEN, size=100, token=page.next_page_token)
            assert len(page.items) + len(rest.items) == 130

        await eventually(check)
        seen: list[int] = []
        token = ""
        while True:
            page = await room.page(ANN, size=9, order=order, token=token)
            seen += [item.post.post_id for item in page.items]
            token = page.next_page_token
            if not token:
                break
            await room.post(BEN)

        assert sorted(seen) == posts
        assert page.end_reason == feed_pb2.END_REASON_COMPLETE
        assert page.new_post_count > 0
        if order == feed_pb2.ORDER_LATEST:
            assert seen == posts[::-1]


async def test_ranking_is_used_and_its_lies_are_not() -> None:
    """The order is svc_rank's; what it makes up changes nothing."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        posts = [await room.post(BEN) for _ in range(5)]
        await sees(room, ANN, *posts)

        page = await room.page(ANN, order=feed_pb2.ORDER_RANKED)
        assert page.served_as == feed_pb2.SERVED_AS_RANKED
        room.rank.answer = rank_pb2.RankResponse(order=[99, 3, 3, -1])
        lied = await room.page(ANN, order=feed_pb2.ORDER_RANKED)

        assert [item.post.post_id for item in lied.items] == [
            posts[1],
            posts[4],
            posts[3],
            posts[2],
            posts[0],
        ]


async def test_without_ranking_the_feed_is_newest_first() -> None:
    """Labelled; and after some failures svc_rank is not asked any more."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        posts = [await room.post(BEN) for _ in range(3)]
        await sees(room, ANN, *posts)
        room.peers.down.add("rank")
        for _ in range(30):
            page = await room.page(ANN, order=feed_pb2.ORDER_RANKED)
            assert page.served_as == feed_pb2.SERVED_AS_CHRONOLOGICAL_FALLBACK
            assert [item.post.post_id for item in page.items] == posts[::-1]

        assert room.peers.calls.count("Rank") == 20


async def test_a_foreign_token_is_refused() -> None:
    """Bound to its reader."""
    async with feed_room() as room:
        await room.follow(ANN, BEN)
        await room.follow(CAT, BEN)
        posts = [await room.post(BEN) for _ in range(3)]
        await sees(room, ANN, *posts)
        token = (await room.page(ANN, size=1)).next_page_token

        with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
            await room.page(CAT, size=1, token=token)


async def test_nobody_has_no_feed() -> None:
    """GetHomeFeed is for people."""
    async with feed_room() as room:
        with refuses(Unauthenticated, "TOKEN_MISSING"):
            await room.feed.GetHomeFeed(feed_pb2.GetHomeFeedRequest())
