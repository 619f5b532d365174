"""Home feed pages over twins: what is on them, in which order, and how they end."""

from __future__ import annotations

import math

import pytest

from feedmesh.feed.v1 import feed_pb2
from feedmesh.ingest.v1 import post_pb2

from chassis.errors import InvalidArgument, Unavailable
from chassis.testing import refuses

from domain.visibility import Relation
from svc_feed.model import Changes, Entry, Order, PostId, Score
from tests.support.home_feeds import (
    ANN,
    BEN,
    BLOCKED,
    BLOCKING,
    CAT,
    DAN,
    DELETED,
    MUTING,
    STAR,
    STRANGER,
    SUSPENDED,
    World,
    shown,
)


def following() -> World:
    """Ann follows Ben and Cat."""
    world = World()
    world.follow(ANN, BEN)
    world.follow(ANN, CAT)
    return world


async def test_a_page_holds_posts_of_followed_people_and_ones_own() -> None:
    """And of nobody else, though their posts were placed once."""
    world = following()
    of_ben, of_cat = await world.post(BEN), await world.post(CAT)
    own = await world.post(ANN)
    world.follow(ANN, DAN)
    await world.post(DAN)
    world.relate(ANN, DAN, STRANGER)

    page = await world.page(ANN)

    assert shown(page) == [own, of_cat, of_ben]
    assert [item.reason for item in page.items] == [
        feed_pb2.REASON_OWN,
        feed_pb2.REASON_FOLLOWED,
        feed_pb2.REASON_FOLLOWED,
    ]
    assert page.served_as == feed_pb2.SERVED_AS_LATEST
    assert page.end_reason == feed_pb2.END_REASON_COMPLETE
    assert page.next_page_token == ""


async def test_an_item_shows_post_author_stats_and_own_actions() -> None:
    """What differs between readers travels beside the post."""
    world = following()
    post_id = await world.post(BEN)
    world.did[ANN] = {post_id: 3}

    (item,) = (await world.page(ANN)).items

    assert item.post == world.posts[post_id]
    assert item.author.handle == f"u{BEN}"
    assert item.HasField("stats")
    assert (item.viewer.liked, item.viewer.shared) == (True, True)


async def test_own_posts_need_not_wait_for_fan_out() -> None:
    """Authors see what they wrote at once."""
    world = following()
    own = await world.post(ANN, is_fanned_out=False)

    assert await world.all_ids(ANN) == [own]


async def test_a_list_of_own_posts_that_was_lost_hides_none() -> None:
    """One that began moments ago may lack what was posted before it was lost."""
    world = following()
    before = await world.post(ANN, is_fanned_out=False)
    after = await world.post(ANN, is_fanned_out=False)
    world.own[ANN] = [Entry(after, ANN)]

    assert await world.all_ids(ANN) == [after, before]


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("size", [1, 3, 10, 100])
async def test_pages_join_without_gap_or_repeat(order: Order, size: int) -> None:
    """Every post once, whatever the order and the size of pages."""
    world = following()
    posts = [await world.post(BEN if n % 3 else CAT) for n in range(45)]

    seen = await world.all_ids(ANN, order=order, size=size)

    assert sorted(seen) == posts
    if order is Order.LATEST:
        assert seen == posts[::-1]


async def test_a_ranked_session_keeps_its_order() -> None:
    """The window in ranked order over its pages, then newest first."""
    world = following()
    posts = await world.posts_of(BEN, 25)

    seen = await world.all_ids(ANN, order=Order.RANKED, size=4)

    assert seen == posts[:10][::-1] + posts[10:]


async def test_a_ranked_session_outlives_ranking() -> None:
    """With svc_rank gone after the first page the order stays."""
    world = following()
    posts = await world.posts_of(BEN, 12)
    first = await world.page(ANN, order=Order.RANKED, size=4)
    world.down.add("rank")

    second = await world.page(
        ANN, order=Order.RANKED, size=4, token=first.next_page_token
    )

    assert shown(first) + shown(second) == posts[:10][::-1][:8]
    assert second.served_as == feed_pb2.SERVED_AS_RANKED


async def test_without_ranking_a_page_is_newest_first_and_says_so() -> None:
    """The fallback is labelled, on later pages too."""
    world = following()
    posts = await world.posts_of(BEN, 15)
    world.down.add("rank")

    pages = [page async for page in world.pages(ANN, order=Order.RANKED, size=6)]

    assert [one for page in pages for one in shown(page)] == posts
    assert {page.served_as for page in pages} == {
        feed_pb2.SERVED_AS_CHRONOLOGICAL_FALLBACK
    }


async def test_what_ranking_says_is_a_hint_only() -> None:
    """Unknown posts, repeats and odd scores change no page; what is missing follows."""
    world = following()
    posts = await world.posts_of(BEN, 5)
    nan = Score(math.nan, ())
    world.ranking.answer = [
        (posts[3], nan),
        (PostId(123), nan),
        (posts[3], nan),
        (posts[1], nan),
    ]

    page = await world.page(ANN, order=Order.RANKED, scores=True)

    assert shown(page) == [posts[3], posts[1], posts[0], posts[2], posts[4]]


async def test_scores_come_when_asked_for() -> None:
    """With their terms, on the first page and on later ones."""
    world = following()
    await world.posts_of(BEN, 6)

    first = await world.page(ANN, order=Order.RANKED, size=3, scores=True)
    second = await world.page(
        ANN, order=Order.RANKED, size=3, scores=True, token=first.next_page_token
    )
    plain = await world.page(ANN, order=Order.RANKED, size=3)

    assert [term.name for term in first.items[1].score.terms] == ["recency"]
    assert all(item.HasField("score") for item in second.items)
    assert not any(item.HasField("score") for item in plain.items)


async def test_posts_of_celebrities_are_pulled() -> None:
    """They are merged in at read, at any depth, and labelled."""
    world = following()
    world.celebrities.add(STAR)
    world.follow(ANN, STAR)
    posts = []
    for _ in range(70):
        posts.append(await world.post(STAR))
        posts.append(await world.post(BEN))

    seen = await world.all_ids(ANN, size=30)

    assert seen == posts[::-1]
    page = await world.page(ANN, size=2)
    assert page.items[1].reason == feed_pb2.REASON_CELEBRITY


async def test_recent_posts_of_a_celebrity_are_loaded_once_in_30_seconds() -> None:
    """However many pages ask."""
    world = following()
    world.celebrities.add(STAR)
    for reader in (ANN, BEN, CAT):
        world.follow(reader, STAR)
    await world.post(STAR)
    await world.page(ANN)
    before = world.calls["recents"]

    assert len((await world.page(ANN)).items) == 1
    world.clock.advance(31)
    await world.page(ANN)

    own = 1
    assert world.calls["recents"] - before <= own + own + 1


async def test_filtered_posts_are_replaced_by_older_ones() -> None:
    """Pages are full though much of the newest is hidden."""
    world = following()
    old = await world.posts_of(BEN, 20)
    await world.posts_of(CAT, 30)
    world.relate(ANN, CAT, MUTING)

    page = await world.page(ANN, size=20)

    assert shown(page) == old


async def test_a_spent_budget_ends_the_page_but_not_the_feed() -> None:
    """The session goes on with the next page, which finds what is older."""
    world = World(budget=60)
    world.follow(ANN, BEN)
    world.follow(ANN, CAT)
    old = await world.posts_of(BEN, 3)
    await world.posts_of(CAT, 200)
    world.relate(ANN, CAT, MUTING)

    pages = [page async for page in world.pages(ANN)]

    assert shown(pages[0]) == []
    assert pages[0].next_page_token
    assert pages[0].end_reason == feed_pb2.END_REASON_UNSPECIFIED
    assert [one for page in pages for one in shown(page)] == old


@pytest.mark.parametrize("after", [MUTING, BLOCKING, BLOCKED, SUSPENDED, STRANGER])
@pytest.mark.parametrize("order", list(Order))
async def test_a_changed_relation_holds_from_the_next_page_on(
    after: Relation, order: Order
) -> None:
    """Also on a page whose token was made before the change."""
    world = following()
    for _ in range(10):
        await world.post(BEN)
        await world.post(CAT)
    first = await world.page(ANN, order=order, size=4)
    world.relate(ANN, CAT, after)

    rest: list[feed_pb2.FeedItem] = []
    token = first.next_page_token
    while token:
        page = await world.page(ANN, order=order, size=4, token=token)
        rest += page.items
        token = page.next_page_token

    assert {item.author.user_id for item in rest} == {BEN}
    ids = [*shown(first), *(item.post.post_id for item in rest)]
    of_ben = {one for one, post in world.posts.items() if post.author_id == BEN}
    assert of_ben <= set(ids)
    assert len(ids) == len(set(ids))


async def test_a_suspended_author_is_hidden() -> None:
    """And so is one who is gone."""
    world = following()
    await world.post(BEN)
    await world.post(CAT)
    world.relate(ANN, BEN, SUSPENDED)
    world.relate(ANN, CAT, DELETED)

    assert await world.all_ids(ANN) == []


async def test_relations_are_asked_for_once_while_the_mark_stands() -> None:
    """The mark is what makes keeping them safe."""
    world = following()
    await world.post(BEN)
    await world.warm_up(ANN)
    asked = world.calls["graph"]
    await world.page(ANN)

    assert world.calls["graph"] == asked
    world.follow(ANN, DAN)
    await world.page(ANN)
    assert world.calls["graph"] > asked


async def test_unknown_marks_are_asked_for_every_time() -> None:
    """Missing means unknown, and unknown means ask."""
    world = following()
    await world.post(BEN)
    world.marks.clear()
    await world.warm_up(ANN)
    asked = world.calls["graph"]
    await world.page(ANN)

    assert world.calls["graph"] > asked


async def test_a_caller_who_saw_more_is_not_served_older_relations() -> None:
    """x-feedmesh-graph-version above the mark means ask."""
    world = following()
    await world.post(BEN)
    await world.warm_up(ANN)
    world.edges[ANN, BEN] = BLOCKING

    page = await world.page(ANN, at_least=world.marks[ANN] + 1)

    assert shown(page) == []


async def test_a_post_marked_as_changed_is_loaded_anew() -> None:
    """A near copy is not shown once its change is marked."""
    world = following()
    post_id = await world.post(BEN)
    await world.warm_up(ANN)
    world.posts[post_id].visibility = post_pb2.VISIBILITY_PRIVATE
    assert shown(await world.page(ANN)) == [post_id]
    world.changes = Changes(posts=[post_id])

    assert shown(await world.page(ANN)) == []


async def test_what_is_loaded_just_after_a_mark_is_not_kept() -> None:
    """The mark comes before the commit: a load in between may hold the old state."""
    world = following()
    post_id = await world.post(BEN)
    await world.warm_up(ANN)
    world.changes = Changes(posts=[post_id])
    await world.page(ANN)
    world.clock.advance(1)
    await world.page(ANN)
    del world.posts[post_id]

    assert shown(await world.page(ANN)) == []


async def test_a_deleted_post_leaves_no_gap() -> None:
    """Its entry is skipped and the page filled from below."""
    world = following()
    posts = await world.posts_of(BEN, 6)
    del world.posts[posts[1]]

    page = await world.page(ANN, size=5)

    assert shown(page) == [posts[0], *posts[2:]]


async def test_a_share_shows_its_original() -> None:
    """With the original's author."""
    world = following()
    original = await world.post(DAN)
    share = await world.post(BEN, share_of=original)

    (item,) = (await world.page(ANN)).items

    assert item.post.post_id == share
    assert item.original.post_id == original
    assert item.original_author.user_id == DAN
    assert item.reason == feed_pb2.REASON_SHARED


@pytest.mark.parametrize("hidden", [MUTING, BLOCKING, BLOCKED, SUSPENDED, DELETED])
async def test_a_share_is_hidden_with_its_original(hidden: Relation) -> None:
    """Nobody is shown to somebody through a third person."""
    world = following()
    original = await world.post(DAN)
    await world.post(BEN, share_of=original)
    world.relate(ANN, DAN, hidden)

    assert await world.all_ids(ANN) == []


@pytest.mark.parametrize("hidden", ["blocked", "deleted"])
async def test_a_quote_is_shown_without_a_hidden_original(hidden: str) -> None:
    """It says something of its own."""
    world = following()
    original = await world.post(DAN)
    quote = await world.post(BEN, quote_of=original)
    if hidden == "blocked":
        world.relate(ANN, DAN, BLOCKED)
    else:
        del world.posts[original]

    (item,) = (await world.page(ANN)).items

    assert item.post.post_id == quote
    assert not item.HasField("original")
    assert not item.HasField("original_author")


async def test_later_pages_say_how_many_posts_are_newer() -> None:
    """Counted by the same rules, without moving the session."""
    world = following()
    await world.posts_of(BEN, 6)
    first = await world.page(ANN, size=2)
    await world.posts_of(CAT, 3)
    world.follow(ANN, DAN)
    await world.post(DAN)
    world.relate(ANN, DAN, BLOCKED)

    second = await world.page(ANN, size=2, token=first.next_page_token)

    assert (first.new_post_count, second.new_post_count) == (6, 3)


async def test_many_newer_posts_are_counted_whole() -> None:
    """Not only those that a page would have looked at; up to a hundred."""
    world = following()
    await world.posts_of(BEN, 6)
    first = await world.page(ANN, order=Order.LATEST, size=2)
    token = first.next_page_token
    await world.posts_of(CAT, 60)
    second = await world.page(ANN, order=Order.LATEST, size=2, token=token)
    await world.posts_of(CAT, 60)
    third = await world.page(ANN, order=Order.LATEST, size=2, token=token)

    assert (second.new_post_count, third.new_post_count) == (60, 100)


async def test_a_post_that_is_placed_late_joins_the_session() -> None:
    """Fan-out trails: a post from before the first page is not skipped."""
    world = following()
    late = await world.post(BEN, is_fanned_out=False)
    posts = await world.posts_of(BEN, 8)
    first = await world.page(ANN, order=Order.RANKED, size=3)
    await world.post(BEN)
    middle = sorted(posts)[2]
    world.posts[PostId(middle + 1)] = world.posts[late]
    world.posts[PostId(middle + 1)].post_id = middle + 1
    await world.place(PostId(middle + 1))

    seen = shown(first)
    token = first.next_page_token
    while token:
        page = await world.page(ANN, order=Order.RANKED, size=3, token=token)
        seen += shown(page)
        token = page.next_page_token

    assert sorted(seen) == sorted([*posts, middle + 1])


@pytest.mark.parametrize("change", ["reader", "order", "scores", "bytes", "age"])
async def test_a_token_is_good_for_its_reader_and_request_only(change: str) -> None:
    """And for a day; whatever is wrong with it, the answer is the same."""
    world = following()
    await world.posts_of(BEN, 5)
    world.follow(DAN, BEN)
    token = (await world.page(ANN, size=2)).next_page_token
    if change == "bytes":
        token = token[:-4] + "AAAA"
    if change == "age":
        world.clock.advance(25 * 3600)

    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        await world.page(
            DAN if change == "reader" else ANN,
            order=Order.RANKED if change == "order" else Order.LATEST,
            scores=change == "scores",
            size=2,
            token=token,
        )


async def test_a_page_of_another_size_may_follow() -> None:
    """page_size is the one field that may change."""
    world = following()
    posts = await world.posts_of(BEN, 5)
    first = await world.page(ANN, size=2)

    second = await world.page(ANN, size=3, token=first.next_page_token)

    assert shown(first) + shown(second) == posts


async def test_without_valkey_pages_come_from_the_index() -> None:
    """Slower, never wrong, and labelled."""
    world = following()
    posts = await world.posts_of(BEN, 30)
    await world.page(ANN)
    own = await world.post(ANN, is_fanned_out=False)
    world.hot_feeds.is_down = True

    page = await world.page(ANN, size=31)

    assert shown(page) == [own, *posts]
    assert page.served_from == feed_pb2.SERVED_FROM_INDEX


async def test_a_hot_feed_is_built_at_read_and_used_from_then_on() -> None:
    """And what is appended meanwhile is in it."""
    world = following()
    posts = await world.posts_of(BEN, 3)
    first = await world.page(ANN)
    posts.insert(0, await world.post(BEN))
    reads = world.index.reads

    second = await world.page(ANN)

    assert first.served_from == feed_pb2.SERVED_FROM_INDEX
    assert second.served_from == feed_pb2.SERVED_FROM_HOT
    assert shown(second) == posts
    assert world.index.reads == reads


async def test_without_the_index_pages_come_from_the_hot_feed() -> None:
    """As far as it reaches; deeper there is an error, never a false end."""
    world = following()
    posts = await world.posts_of(BEN, 60)
    await world.page(ANN)
    world.index.is_down = True

    first = await world.page(ANN, size=10)
    second = await world.page(ANN, size=15, token=first.next_page_token)

    assert first.served_from == feed_pb2.SERVED_FROM_HOT
    assert second.served_from == feed_pb2.SERVED_FROM_CACHE_ONLY
    assert shown(first) + shown(second) == posts[:20]
    assert second.end_reason == feed_pb2.END_REASON_UNSPECIFIED
    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await world.page(ANN, size=10, token=second.next_page_token)
    world.index.is_down = False
    third = await world.page(ANN, size=40, token=second.next_page_token)
    assert shown(third) == posts[20:]


async def test_without_both_the_answer_is_an_error() -> None:
    """An error is never an empty page."""
    world = following()
    await world.post(BEN)
    world.index.is_down = world.hot_feeds.is_down = True

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await world.page(ANN)


async def test_without_relations_only_ones_own_posts_are_shown() -> None:
    """Public ones too are withheld, and the page says so."""
    world = following()
    await world.post(BEN)
    own = await world.post(ANN)
    await world.post(CAT)
    world.down.add("graph")

    page = await world.page(ANN)

    assert shown(page) == [own]
    assert page.end_reason == feed_pb2.END_REASON_WITHHELD
    assert page.next_page_token == ""


async def test_without_relations_and_own_posts_the_answer_is_an_error() -> None:
    """Nothing is left that may be shown."""
    world = following()
    await world.post(BEN)
    world.down.add("graph")

    with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
        await world.page(ANN)


async def test_an_empty_feed_is_a_page() -> None:
    """Somebody new sees an empty page that is complete, in any order."""
    world = World()

    for order in Order:
        page = await world.page(DAN, order=order)
        assert not page.items
        assert page.end_reason == feed_pb2.END_REASON_COMPLETE
