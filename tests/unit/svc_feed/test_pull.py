"""What belongs into a feed, told by graph and posts: in order, without a gap."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from svc_feed.model import ABOVE_ALL, BACKFILL_POSTS, BELOW_ALL, Entry, PostId, UserId
from tests.support.home_feeds import ANN, BEN, CAT, STAR, World

A_DAY = 86_400


async def pulled(world: World, reader: UserId, *, limit: int = 1_000) -> list[PostId]:
    part = await world.pull.older(reader, before=ABOVE_ALL, limit=limit)
    return [entry.post_id for entry in part.entries]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 130), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    limit=st.integers(1, 90),
)
def test_stretches_join_without_gap_or_repeat(
    counts: list[int], order: object, limit: int
) -> None:
    """However the posts of authors are mixed, and however long the stretches."""
    asyncio.run(_descend(counts, order, limit))


async def _descend(counts: list[int], order: object, limit: int) -> None:
    world = World()
    authors = [UserId(BEN + 100 + number) for number in range(len(counts))]
    for author in authors:
        world.follow(ANN, author)
    turns = [
        author for author, n in zip(authors, counts, strict=True) for _ in range(n)
    ]
    order.shuffle(turns)  # type: ignore[attr-defined] # drawn as a Random
    posts = [await world.post(author, is_fanned_out=False) for author in turns]

    seen: list[Entry] = []
    before = ABOVE_ALL
    is_end = False
    while not is_end:
        part = await world.pull.older(ANN, before=before, limit=limit)
        assert len(part.entries) == limit or part.is_end
        seen += part.entries
        before, is_end = part.before, part.is_end

    assert [one.post_id for one in seen] == posts[::-1]
    assert [one.author_id for one in seen] == turns[::-1]


async def test_a_descent_costs_as_many_questions_as_there_are_posts() -> None:
    """Authors who post much are asked again, those who do not are not."""
    world = World()
    for number in range(40):
        author = UserId(CAT + 100 + number)
        world.follow(ANN, author)
        await world.post(author, is_fanned_out=False)
    world.follow(ANN, BEN)
    for _ in range(400):
        await world.post(BEN, is_fanned_out=False)
    world.calls.clear()

    descent = await world.pull.descent(ANN)
    found = await descent.stretch(1_000)

    assert len(found) == 440
    assert descent.is_end
    assert world.calls["recents"] <= 1 + 400 // 50 + 1


async def test_posts_from_before_a_follow_belong_if_they_are_recent() -> None:
    """The newest fifty of the day before it, and all from then on."""
    world = World()
    await world.post(BEN, is_fanned_out=False)
    world.clock.advance(A_DAY + 3_600)
    world.skip_to_now()
    before = [await world.post(BEN, is_fanned_out=False) for _ in range(60)]
    world.follow(ANN, BEN)
    after = [await world.post(BEN, is_fanned_out=False) for _ in range(60)]

    assert await pulled(world, ANN) == [*before[-BACKFILL_POSTS:], *after][::-1]


async def test_own_posts_belong() -> None:
    """And nobody else's who is not followed."""
    world = World()
    own = await world.post(ANN, is_fanned_out=False)
    await world.post(BEN, is_fanned_out=False)

    assert await pulled(world, ANN) == [own]


async def test_an_audit_knows_what_must_be_there_and_what_may() -> None:
    """Posts from before a follow, and posts that are pulled, may."""
    world = World()
    world.celebrities.add(STAR)
    early = await world.post(BEN, is_fanned_out=False)
    since = await world.post(BEN, is_fanned_out=False)
    lately = await world.post(BEN, is_fanned_out=False)
    world.follow(ANN, BEN)
    world.follow(ANN, STAR)
    due = await world.post(BEN, is_fanned_out=False)
    own = await world.post(ANN, is_fanned_out=False)
    of_star = await world.post(STAR, is_fanned_out=False)

    found = await world.pull.expected(ANN, since=since)

    assert [one.post_id for one in found.entries] == [own, due]
    assert [one.post_id for one in found.optional] == [of_star, lately]
    assert found.is_complete
    assert early not in [one.post_id for one in (*found.entries, *found.optional)]


async def test_nothing_older_than_the_edge_is_pulled() -> None:
    """It is archived."""
    world = World()
    world.follow(ANN, BEN)
    await world.post(BEN, is_fanned_out=False)
    world.clock.advance(91 * A_DAY)
    world.skip_to_now()
    kept = await world.post(BEN, is_fanned_out=False)

    assert await pulled(world, ANN) == [kept]
    assert world.pull.edge() > BELOW_ALL


async def test_a_rebuild_that_is_asked_for_places_what_is_missing() -> None:
    """All of it, and the hot feed after it; of who pulls, nothing."""
    world = World()
    world.follow(ANN, BEN)
    posts = [await world.post(BEN, is_fanned_out=False) for _ in range(30)]
    await world.page(ANN)

    rebuilt = await world.rebuild.rebuild(ANN)

    assert rebuilt == (30, True)
    held = await world.index.newest(ANN, limit=100)
    assert [one.post_id for one in held] == posts[::-1]
    assert await world.hot_feeds.look(ANN) is None
    await world.readers.set_pulls(ANN, True)
    assert await world.rebuild.rebuild(ANN) == (0, True)
