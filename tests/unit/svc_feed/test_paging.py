"""Paging under change: pages join whatever happens between them."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from svc_feed.model import Changes, Order, PostId, UserId
from tests.support.home_feeds import (
    ANN,
    BEN,
    BLOCKED,
    BLOCKING,
    CAT,
    DAN,
    FOLLOWING,
    MUTING,
    STAR,
    STRANGER,
    SUSPENDED,
    World,
    shown,
)

AUTHORS = [BEN, CAT, DAN, STAR]

edges = st.sampled_from(
    [FOLLOWING, FOLLOWING, MUTING, BLOCKING, BLOCKED, SUSPENDED, STRANGER]
)

# What happens between two pages.
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.sampled_from([ANN, *AUTHORS])),
        st.tuples(st.just("relate"), st.sampled_from(AUTHORS), edges),
        st.tuples(st.just("delete"), st.integers(0, 200)),
        st.tuples(st.just("forget")),
        st.tuples(st.just("valkey"), st.booleans()),
        st.tuples(st.just("rank"), st.booleans()),
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(
    order=st.sampled_from(Order),
    authors=st.lists(st.sampled_from([ANN, *AUTHORS]), max_size=60),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    between=st.lists(happenings, max_size=12),
)
def test_what_may_be_seen_all_along_is_shown_once(
    order: Order,
    authors: list[UserId],
    sizes: list[int],
    between: list[list[tuple[object, ...]]],
) -> None:
    """No repeat, no gap, nothing that may not be seen, and pages are full."""
    asyncio.run(_crawl(order, authors, sizes, between))


async def _crawl(
    order: Order,
    authors: list[UserId],
    sizes: list[int],
    between: list[list[tuple[object, ...]]],
) -> None:
    world = World(candidates=9, hot_window=15)
    world.celebrities.add(STAR)
    for author in AUTHORS:
        world.follow(ANN, author)
    for author in authors:
        await world.post(author)
    throughout = visible(world)
    ever = set(throughout)

    seen: list[PostId] = []
    token = ""
    for turn in range(200):
        size = sizes[turn % len(sizes)]
        page = await world.page(ANN, order=order, size=size, token=token)
        now = visible(world)
        assert set(shown(page)) <= now
        assert len(page.items) == size or not page.next_page_token
        seen += shown(page)
        token = page.next_page_token
        if not token:
            break
        for happening in between[turn] if turn < len(between) else ():
            await happen(world, *happening)
        throughout &= visible(world)
        ever |= visible(world)

    assert not token
    assert len(seen) == len(set(seen))
    assert throughout <= set(seen) <= ever
    if order is Order.LATEST:
        assert seen == sorted(seen, reverse=True)


def visible(world: World) -> set[PostId]:
    """What Ann may see now, told without the code under test."""
    return {
        post_id
        for post_id, post in world.posts.items()
        if post.author_id == ANN
        or world.edges[ANN, UserId(post.author_id)] == FOLLOWING
    }


async def happen(world: World, what: object, *how: object) -> None:
    """One thing that changes what there is to see, or who can tell of it."""
    if what == "post":
        assert isinstance(how[0], int)
        await world.post(UserId(how[0]))
    elif what == "relate":
        author, edge = how
        assert isinstance(author, int)
        world.relate(ANN, UserId(author), edge)  # type: ignore[arg-type] # drawn as one
    elif what == "delete" and world.posts:
        assert isinstance(how[0], int)
        del world.posts[sorted(world.posts)[how[0] % len(world.posts)]]
        world.changes = Changes(is_reset=True)
    elif what == "valkey":
        world.hot_feeds.is_down = bool(how[0])
        world.hot_feeds.lose_all()
    elif what == "rank":
        world.down = {"rank"} if how[0] else set()
    elif what == "forget" and not world.hot_feeds.is_down:
        await world.hot_feeds.forget([ANN])
