"""Why a post is in a feed, or is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import NotFound, Unavailable
from chassis.testing import refuses

from domain.visibility import PostFacts, Relation, UserState, Visibility
from svc_feed.explain import FeedExplanations
from svc_feed.model import (
    Candidate,
    EdgeState,
    Explanation,
    HiddenBy,
    Placement,
    Post,
    PostId,
    UserId,
)
from svc_feed.rules import Rules
from svc_feed.verdicts import hidden_by
from tests.support.feed_writing import SETTLE
from tests.support.home_feeds import (
    ANN,
    BEN,
    BLOCKED,
    CAT,
    FOLLOWING,
    MUTING,
    OLD,
    STAR,
    STRANGER,
    SUSPENDED,
    World,
)


def following() -> World:
    """Ann follows Ben."""
    world = World()
    world.follow(ANN, BEN)
    return world


async def explained(world: World, viewer: UserId, post_id: PostId) -> Explanation:
    world.clock.advance(2 * SETTLE.total_seconds())
    return await explanations(world).explain(viewer, post_id)


def explanations(world: World) -> FeedExplanations:
    return FeedExplanations(
        index=world.index,
        hot_feeds=world.hot_feeds,
        readers=world.readers,
        graph=world,
        records=world,
        clock=world.clock,
        index_age=timedelta(days=90),
        settle=SETTLE,
    )


async def test_a_placed_post_that_nothing_hides() -> None:
    """It is in the feed, and hot once the feed was read."""
    world = following()
    post_id = await world.post(BEN)
    cold = await explained(world, ANN, post_id)
    await world.page(ANN)
    hot = await explained(world, ANN, post_id)

    assert cold.is_in_feed
    assert (cold.edge, cold.placement) == (EdgeState.PUSHED, Placement.PLACED)
    assert (cold.is_hot, cold.last_read) == (False, None)
    assert hot.is_hot
    assert hot.last_read is not None
    assert hot.author_id == BEN
    assert hot.summary == (
        "The reader follows the author; the post is in the index; nothing hides it."
    )


async def test_a_post_that_should_be_placed_and_is_not() -> None:
    """Pending while fan-out may be at it, then missing."""
    world = following()
    post_id = await world.post(BEN, is_fanned_out=False)

    soon = await explanations(world).explain(ANN, post_id)
    later = await explained(world, ANN, post_id)

    assert soon.placement is Placement.PENDING
    assert later.placement is Placement.MISSING
    assert not later.is_in_feed
    assert "is missing" in later.summary


async def test_ones_own_post() -> None:
    """Needs no edge."""
    world = World()
    post_id = await world.post(ANN)

    own = await explained(world, ANN, post_id)

    assert (own.edge, own.is_in_feed) == (EdgeState.OWN, True)


async def test_posts_that_need_not_be_placed() -> None:
    """Pulled from a celebrity, by a reader who pulls, for one who was away, older than
    the follow, or the author's alone."""
    world = World()
    older = await world.post(BEN, is_fanned_out=False)
    world.celebrities.add(STAR)
    for author in (BEN, STAR):
        for reader in (ANN, CAT, OLD):
            world.follow(reader, author)
    await world.readers.set_pulls(CAT, True)
    newer = await world.post(BEN, is_fanned_out=False)
    starry = await world.post(STAR)
    private = await world.post(BEN, is_fanned_out=False, visibility=Visibility.PRIVATE)

    seen = {
        name: await explained(world, *of)
        for name, of in {
            "celebrity": (ANN, starry),
            "pulls": (CAT, newer),
            "idle": (OLD, newer),
            "older": (ANN, older),
            "private": (ANN, private),
        }.items()
    }

    assert {one.placement for one in seen.values()} == {Placement.NOT_NEEDED}
    assert seen["celebrity"].edge is EdgeState.PULLED_CELEBRITY
    assert seen["pulls"].edge is EdgeState.PULLED_READER
    assert seen["idle"].edge is EdgeState.IDLE_READER
    in_feed = {name for name, one in seen.items() if one.is_in_feed}
    assert in_feed == {"celebrity", "pulls", "idle"}


@pytest.mark.parametrize(
    ("relation", "hidden"),
    [
        (MUTING, HiddenBy.MUTE),
        (STRANGER, HiddenBy.NOT_FOLLOWING),
        (BLOCKED, HiddenBy.BLOCK),
        (SUSPENDED, HiddenBy.AUTHOR_STATE),
    ],
)
async def test_the_rule_that_hides_a_post_is_named(
    relation: Relation, hidden: HiddenBy
) -> None:
    """Though it is in the index."""
    world = following()
    post_id = await world.post(BEN)
    world.relate(ANN, BEN, relation)

    found = await explained(world, ANN, post_id)

    assert (found.hidden_by, found.is_in_feed) == (hidden, False)
    assert "it is hidden because" in found.summary


async def test_a_deleted_post_is_known_by_what_is_left_of_it() -> None:
    """An entry tells that there was one; without, there is no such post."""
    world = following()
    held, lost = await world.post(BEN), await world.post(CAT)
    del world.posts[held], world.posts[lost]

    found = await explained(world, ANN, held)

    assert (found.hidden_by, found.author_id) == (HiddenBy.DELETED, BEN)
    with refuses(NotFound, "POST_NOT_FOUND"):
        await explained(world, ANN, lost)


async def test_a_share_whose_original_is_hidden() -> None:
    """The rule is that of the original."""
    world = following()
    original = await world.post(CAT)
    share = await world.post(BEN, share_of=original)
    world.relate(ANN, CAT, BLOCKED)

    assert (await explained(world, ANN, share)).hidden_by is HiddenBy.ORIGINAL
    world.relate(ANN, CAT, MUTING)
    assert (await explained(world, ANN, share)).hidden_by is HiddenBy.MUTE


async def test_a_post_older_than_feeds_reach() -> None:
    """It is in the index, and in no feed."""
    world = following()
    post_id = await world.post(BEN)
    world.clock.advance(timedelta(days=91).total_seconds())

    found = await explained(world, ANN, post_id)

    assert (found.placement, found.is_in_feed) == (Placement.PLACED, False)
    assert "older than feeds reach" in found.summary


@pytest.mark.parametrize("peer", ["graph", "ingest"])
async def test_an_explanation_needs_everybody(peer: str) -> None:
    """Half of one would mislead."""
    world = following()
    post_id = await world.post(BEN)
    world.down.add(peer)

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await explained(world, ANN, post_id)


RELATIONS = st.none() | st.builds(
    Relation,
    is_following=st.booleans(),
    is_followed_by=st.booleans(),
    is_blocking=st.booleans(),
    is_blocked_by=st.booleans(),
    is_muting=st.booleans(),
    is_private=st.booleans(),
    state=st.sampled_from(UserState),
)


@given(
    to_author=RELATIONS,
    to_other=RELATIONS,
    viewer=st.sampled_from((ANN, BEN, CAT)),
    visibility=st.sampled_from(Visibility),
    share_of=st.sampled_from((PostId(0), PostId(11), PostId(12))),
)
def test_a_rule_is_named_exactly_when_the_rules_hide(
    to_author: Relation | None,
    to_other: Relation | None,
    viewer: UserId,
    visibility: Visibility,
    share_of: PostId,
) -> None:
    """The decision is that of reading, over all combinations."""
    posts = {
        one.post_id: Post(one, b"", b"")
        for one in (
            PostFacts(10, BEN, visibility, share_of=share_of),
            PostFacts(11, CAT, Visibility.PUBLIC),
        )
    }
    known = {BEN: to_author, CAT: to_other}
    rules = Rules(
        viewer,
        {who: relation for who, relation in known.items() if relation},
        {PostId(key): post for key, post in posts.items()},
        frozenset(),
    )

    named = hidden_by(rules, PostId(10))

    is_shown = isinstance(rules.judge(PostId(10)), Candidate)
    assert (named is HiddenBy.NOTHING) is is_shown
    if viewer == BEN and not share_of:
        assert is_shown
    if to_author is None and viewer != BEN:
        assert named is HiddenBy.UNKNOWN_RELATION


def test_what_does_not_exist_is_deleted() -> None:
    """Whoever wrote it."""
    rules = Rules(ANN, {BEN: FOLLOWING}, {}, frozenset())

    assert hidden_by(rules, PostId(10)) is HiddenBy.DELETED
