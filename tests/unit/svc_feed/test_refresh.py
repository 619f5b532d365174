"""Refreshing too often, and how many posts are new: what a last page leaves behind."""

from __future__ import annotations

import pytest

from feedmesh.feed.v1 import feed_pb2

from chassis.errors import Unavailable
from chassis.testing import refuses

from svc_feed.model import Changes, EndReason, Entry, Order, PostId, ServedAs
from svc_feed.position import Position
from svc_feed.refresh import LastPage
from tests.support.home_feeds import (
    ANN,
    BEN,
    BLOCKED,
    CAT,
    DAN,
    MUTING,
    STAR,
    World,
    shown,
)

CACHED = feed_pb2.SERVED_FROM_CACHED_REFRESH


def following() -> World:
    """Ann follows Ben and Cat."""
    world = World()
    world.follow(ANN, BEN)
    world.follow(ANN, CAT)
    return world


@pytest.mark.parametrize("order", list(Order))
async def test_a_refresh_too_soon_is_answered_with_the_last_page(order: Order) -> None:
    """In the order it had, without the index and without ranking; then anew."""
    world = following()
    await world.posts_of(BEN, 30)
    first = await world.page(ANN, order=order, refresh=True)
    newer = await world.post(BEN)
    reads, ranked = world.index.reads, world.calls.get("rank", 0)

    again = await world.page(ANN, order=order, refresh=True)

    assert first.served_from != CACHED
    assert again.served_from == CACHED
    assert shown(again) == shown(first)
    assert again.served_as == first.served_as
    assert (world.index.reads, world.calls.get("rank", 0)) == (reads, ranked)
    world.clock.advance(5)
    later = await world.page(ANN, order=order, refresh=True)
    assert later.served_from != CACHED
    assert newer in [*shown(later), newer]


async def test_a_session_goes_on_behind_a_cached_refresh() -> None:
    """Its token is as good as the first one."""
    world = following()
    posts = await world.posts_of(BEN, 12)
    await world.page(ANN, size=5, refresh=True)

    again = await world.page(ANN, size=5, refresh=True)
    rest = await world.page(ANN, refresh=True, token=again.next_page_token)

    assert shown(again) + shown(rest) == posts
    assert rest.served_from != CACHED


async def test_a_page_without_refresh_is_never_a_cached_one() -> None:
    """Nor is it what a refresh is answered with."""
    world = following()
    await world.posts_of(BEN, 5)
    await world.page(ANN)
    first = await world.page(ANN, refresh=True)
    newer = await world.post(BEN)

    assert first.served_from != CACHED
    assert shown(await world.page(ANN))[0] == newer


async def test_rules_are_applied_anew_to_a_last_page() -> None:
    """A block, a mute and a delete of meanwhile hold."""
    world = following()
    world.follow(ANN, DAN)
    of_ben, of_cat = await world.post(BEN), await world.post(CAT)
    gone, of_dan = await world.post(CAT), await world.post(DAN)
    await world.page(ANN, refresh=True)
    world.relate(ANN, BEN, BLOCKED)
    world.relate(ANN, DAN, MUTING)
    del world.posts[gone]
    world.changes = Changes(posts=[gone])

    again = await world.page(ANN, refresh=True)

    assert again.served_from == CACHED
    assert shown(again) == [of_cat]
    assert {of_ben, of_dan, gone}.isdisjoint(shown(again))


async def test_a_last_page_without_relations_is_an_error() -> None:
    """What is unknown is withheld there, too."""
    world = following()
    await world.post(BEN)
    await world.page(ANN, refresh=True)
    world.marks.clear()
    world.down.add("graph")

    with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
        await world.page(ANN, refresh=True)


async def test_authors_see_their_own_post_though_they_refreshed() -> None:
    """At once: a page is made."""
    world = following()
    await world.post(BEN)
    await world.page(ANN, refresh=True)
    own = await world.post(ANN, is_fanned_out=False)
    world.own[ANN] = [Entry(own, ANN)]

    page = await world.page(ANN, refresh=True)

    assert page.served_from != CACHED
    assert shown(page)[0] == own
    assert (await world.page(ANN, refresh=True)).served_from == CACHED


async def test_without_valkey_each_process_remembers_for_itself() -> None:
    """A reader of this process is not served a page for each pull."""
    world = following()
    posts = await world.posts_of(BEN, 3)
    world.hot_feeds.is_down = True

    pages = [await world.page(ANN, refresh=True) for _ in range(2)]
    world.clock.advance(5)
    pages.append(await world.page(ANN, refresh=True))

    assert [page.served_from == CACHED for page in pages] == [False, True, False]
    assert all(shown(page) == posts for page in pages)


async def test_a_withheld_page_is_not_remembered() -> None:
    """The next refresh finds what came back, and the top has not moved."""
    world = following()
    await world.post(BEN)
    own = await world.post(ANN)
    world.down.add("graph")
    assert shown(await world.page(ANN, refresh=True)) == [own]
    world.down.clear()

    page = await world.page(ANN, refresh=True)

    assert page.served_from != CACHED
    assert len(page.items) == page.new_post_count == 2


def test_a_last_page_survives_its_bytes() -> None:
    """And bytes of another release are no page."""
    top, before = PostId(9 << 40), PostId(7 << 40)
    position = Position(ServedAs.LATEST, top, before, [], [])
    page = LastPage([top], position, EndReason.NONE, 100, PostId(1 << 50))

    assert LastPage.decode(page.encode()) == page
    assert LastPage.decode(b"\xff" + page.encode()[1:]) is None
    assert LastPage.decode(b"") is None
    assert LastPage.decode(page.encode()[:20]) is None


@pytest.mark.parametrize("order", list(Order))
async def test_a_first_page_says_how_many_posts_are_new(order: Order) -> None:
    """All of them at first, then those above the last top."""
    world = following()
    await world.posts_of(BEN, 6)
    counts = [(await world.page(ANN, order=order)).new_post_count for _ in range(2)]
    await world.posts_of(CAT, 3)

    counts.append((await world.page(ANN, order=order)).new_post_count)

    assert counts == [6, 0, 3]


@pytest.mark.parametrize("order", list(Order))
async def test_new_posts_are_counted_beyond_the_page(order: Order) -> None:
    """Up to a hundred, and hidden ones are not."""
    world = following()
    await world.page(ANN)
    await world.posts_of(BEN, 30)
    world.relate(ANN, CAT, MUTING)
    await world.posts_of(CAT, 10)
    assert (await world.page(ANN, order=order, size=5)).new_post_count == 30
    await world.posts_of(BEN, 130)

    assert (await world.page(ANN, order=order, size=5)).new_post_count == 100


async def test_the_count_moves_nobody() -> None:
    """Asking twice gives the same, and the next page is what it would have been."""
    world = following()
    world.celebrities.add(STAR)
    world.follow(ANN, STAR)
    await world.posts_of(BEN, 4)
    await world.page(ANN)
    await world.posts_of(BEN, 2)
    await world.post(ANN, is_fanned_out=False)
    world.own[ANN] = []
    world.clock.advance(31)
    await world.post(STAR)

    counts = [await world.new_post_count(ANN) for _ in range(2)]

    assert counts == [3, 3]
    assert (await world.page(ANN)).new_post_count == 3
    assert await world.new_post_count(ANN) == 0


async def test_the_count_is_no_reading() -> None:
    """It builds no hot feed and notes no read, so that who only counts stays idle."""
    world = following()
    await world.posts_of(BEN, 4)

    assert await world.new_post_count(ANN) == 4

    assert world.readers.touches == 0
    assert await world.hot_feeds.look(ANN) is None
    assert (await world.page(ANN)).served_from == feed_pb2.SERVED_FROM_INDEX


async def test_without_a_top_posts_since_the_last_read_are_new() -> None:
    """The top is a note that may be lost."""
    world = following()
    await world.posts_of(BEN, 4)
    world.clock.advance(60)
    await world.page(ANN)
    world.notes.tops.clear()
    world.clock.advance(60)
    world.skip_to_now()
    await world.posts_of(BEN, 2)

    assert await world.new_post_count(ANN) == 2
    await world.hot_feeds.forget([ANN])
    assert (await world.page(ANN)).new_post_count == 2


async def test_who_pulls_counts_what_they_would_pull() -> None:
    """Nothing is placed for them."""
    world = following()
    await world.readers.set_pulls(ANN, True)
    await world.posts_of(BEN, 4)

    assert await world.new_post_count(ANN) == 4


async def test_without_relations_nothing_is_counted() -> None:
    """An error is never a number."""
    world = following()
    await world.post(BEN)
    world.down.add("graph")

    with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
        await world.new_post_count(ANN)


async def test_a_top_is_written_only_when_it_moved() -> None:
    """Reading the same again costs no write."""
    world = following()
    await world.posts_of(BEN, 30)
    pages = [await world.page(ANN, size=10) for _ in range(3)]
    await world.page(ANN, size=10, token=pages[-1].next_page_token)

    assert world.notes.writes == 1


async def test_a_smaller_page_is_not_answered_with_a_larger_one() -> None:
    """The last page is answered again where it fits."""
    world = following()
    await world.posts_of(BEN, 9)
    await world.page(ANN, size=9, refresh=True)

    page = await world.page(ANN, size=3, refresh=True)

    assert len(page.items) == 3
