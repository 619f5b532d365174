"""Paging sessions through what happens meanwhile: breakers, budgets, new keys."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedmesh.feed.v1 import feed_pb2

from chassis.errors import InvalidArgument
from chassis.paging import PageTokens
from chassis.testing import refuses

from svc_feed.model import Order, PostId, UserId
from tests.support.home_feeds import A_DAY, ANN, BEN, CAT, DAN, MUTING, World, shown


def following(**sizes: int) -> World:
    """Ann follows Ben, Cat and Dan."""
    world = World(**sizes)
    for author in (BEN, CAT, DAN):
        world.follow(ANN, author)
    return world


@pytest.mark.parametrize("goes_at", [0, 1, 2, 3])
async def test_a_ranked_session_outlives_the_breaker(goes_at: int) -> None:
    """Whenever ranking goes, and when it is back: no repeat, no gap, full pages."""
    world = following(candidates=12)
    posts = await world.posts_of(BEN, 40)
    seen: list[PostId] = []
    sizes: list[int] = []
    ends: list[int] = []
    token = ""
    while not any(ends):
        world.down = {"rank"} if len(ends) == goes_at else set()
        page = await world.page(ANN, order=Order.RANKED, size=5, token=token)
        seen += shown(page)
        sizes.append(len(page.items))
        ends.append(page.end_reason)
        token = page.next_page_token

    assert sorted(seen, reverse=True) == posts
    assert sizes == [5] * 8
    assert ends[-1] == feed_pb2.END_REASON_COMPLETE


@pytest.mark.parametrize("order", list(Order))
async def test_pages_are_full_though_most_is_hidden(order: Order) -> None:
    """Nine of ten posts are muted: what is left fills every page but the last."""
    world = following(budget=2_000)
    posts = [await world.post(BEN if n % 10 == 0 else CAT) for n in range(600)]
    world.relate(ANN, CAT, MUTING)

    pages = [page async for page in world.pages(ANN, order=order, size=8)]

    assert [len(page.items) for page in pages] == [8] * 7 + [4]
    seen = [one for page in pages for one in shown(page)]
    assert sorted(seen) == posts[::10]


@pytest.mark.parametrize("order", list(Order))
async def test_a_page_has_a_token_or_a_reason(order: Order) -> None:
    """Exactly one of the two, also where the budget cuts pages short."""
    world = following(budget=50)
    for number in range(400):
        await world.post(BEN if number % 20 == 0 else CAT)
    world.relate(ANN, CAT, MUTING)

    pages = [page async for page in world.pages(ANN, order=order, size=8)]

    assert all(bool(one.next_page_token) != bool(one.end_reason) for one in pages)
    assert any(len(page.items) < 8 for page in pages[:-1])
    assert sum(len(page.items) for page in pages) == 20


async def test_a_key_that_is_replaced_verifies_until_it_is_taken_out() -> None:
    """Sessions go on over a rotation: the first key signs, all of them verify."""
    world = following()
    posts = await world.posts_of(BEN, 6)
    old, new = {"2026-02": b"o" * 32}, {"2026-03": b"n" * 32}
    seen: list[PostId] = []
    issued = [""]
    for keys in (old, {**new, **old}, new):
        # As a process does that was started anew with these keys.
        tokens = PageTokens(keys=keys, clock=world.clock, ttl=A_DAY)
        world.home_feed._tokens = tokens
        page = await world.page(ANN, size=2, token=issued[-1])
        seen += shown(page)
        issued.append(page.next_page_token)

    assert seen == posts
    world.home_feed._tokens = PageTokens(keys=old, clock=world.clock, ttl=A_DAY)
    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        await world.page(ANN, size=2, token=issued[2])


@settings(max_examples=80, deadline=None)
@given(
    before=st.integers(0, 40),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    writes=st.lists(st.lists(st.booleans(), max_size=6), max_size=12),
)
def test_latest_neither_repeats_nor_skips_under_writes(
    before: int, sizes: list[int], writes: list[list[bool]]
) -> None:
    """Posts come in while pages are read, at once or late: what was there is shown
    once, in order, and nothing twice."""
    asyncio.run(_read_under_writes(before, sizes, writes))


async def _read_under_writes(
    before: int, sizes: list[int], writes: list[list[bool]]
) -> None:
    world = following(hot_window=12)
    authors: list[UserId] = [BEN, CAT, DAN, ANN]
    posts = [await world.post(authors[n % 4]) for n in range(before)]
    late: list[PostId] = []
    seen: list[PostId] = []
    token, number = "", 0
    while number == 0 or token:
        size = sizes[number % len(sizes)]
        writing = writes[number] if number < len(writes) else []
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(world.page(ANN, size=size, token=token))
            for is_late in writing:
                group.create_task(_write(world, BEN, late, is_late=is_late))
        answer = reading.result()
        seen += shown(answer)
        token = answer.next_page_token
        assert len(answer.items) == size or not token
        number += 1

    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    assert set(posts) <= set(seen)


async def _write(
    world: World, author: UserId, late: list[PostId], *, is_late: bool
) -> None:
    """A post, fanned out at once or when the next one is written."""
    for post_id in late:
        await world.place(post_id)
    late.clear()
    post_id = await world.post(author, is_fanned_out=not is_late)
    if is_late:
        late.append(post_id)
