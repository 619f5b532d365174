"""can_view against its rules, one by one and as a table of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.visibility import (
    Denial,
    PostFacts,
    Relation,
    UserState,
    Visibility,
    can_view,
    denial,
)

ANN, BEN, CAT = 1, 2, 3


def post(visibility: Visibility, **facts: int) -> PostFacts:
    return PostFacts(post_id=10, author_id=BEN, visibility=visibility, **facts)


STRANGER = Relation()
FOLLOWER = Relation(is_following=True)
MUTUAL = Relation(is_following=True, is_followed_by=True)
FOLLOWED = Relation(is_followed_by=True)
PRIVATE_STRANGER = Relation(is_private=True)
PRIVATE_FOLLOWER = Relation(is_following=True, is_private=True)
BLOCKING = Relation(is_following=True, is_followed_by=True, is_blocking=True)
BLOCKED = Relation(is_following=True, is_followed_by=True, is_blocked_by=True)
SUSPENDED = Relation(is_following=True, is_followed_by=True, state=UserState.SUSPENDED)
DELETED = Relation(is_following=True, is_followed_by=True, state=UserState.DELETED)
MUTING = Relation(is_following=True, is_muting=True)

# Which visibilities each relation lets one see: P(ublic) F(ollowers) M(utual).
TRUTH = [
    (STRANGER, "P"),
    (FOLLOWER, "PF"),
    (MUTUAL, "PFM"),
    (FOLLOWED, "P"),
    (PRIVATE_STRANGER, ""),
    (PRIVATE_FOLLOWER, "PF"),
    (BLOCKING, ""),
    (BLOCKED, ""),
    (SUSPENDED, ""),
    (DELETED, ""),
    (MUTING, "PF"),
]
LETTERS = {
    Visibility.UNSPECIFIED: "?",
    Visibility.PUBLIC: "P",
    Visibility.FOLLOWERS: "F",
    Visibility.FRIENDS: "M",
    Visibility.PRIVATE: "-",
}


@pytest.mark.parametrize(("relation", "seen"), TRUTH)
@pytest.mark.parametrize("visibility", list(Visibility))
def test_a_post_is_seen_as_the_table_says(
    relation: Relation, seen: str, visibility: Visibility
) -> None:
    """Each relation opens exactly the visibilities that the contract names."""
    assert can_view(ANN, post(visibility), relation) is (LETTERS[visibility] in seen)


@pytest.mark.parametrize("visibility", list(Visibility))
def test_an_unknown_relation_shows_nothing(visibility: Visibility) -> None:
    """A block may stand: what is unknown is withheld, public posts too."""
    assert not can_view(ANN, post(visibility), None)


@pytest.mark.parametrize("visibility", list(Visibility))
def test_authors_see_what_they_wrote(visibility: Visibility) -> None:
    """One's own posts need no relation."""
    assert can_view(BEN, post(visibility), None)


def test_nobody_in_particular_owns_nothing() -> None:
    """The viewer 0 is never the author, even of a post without one."""
    ownerless = PostFacts(post_id=10, author_id=0, visibility=Visibility.PRIVATE)

    assert not can_view(0, ownerless, None)
    assert can_view(0, post(Visibility.PUBLIC), STRANGER)
    assert not can_view(0, post(Visibility.PUBLIC), PRIVATE_STRANGER)


@pytest.mark.parametrize(("relation", "seen"), TRUTH)
def test_a_share_is_seen_where_its_original_is(relation: Relation, seen: str) -> None:
    """A share of what one may not see would show it through a side door."""
    share = post(Visibility.PUBLIC, share_of=5)
    original = PostFacts(post_id=5, author_id=CAT, visibility=Visibility.FOLLOWERS)

    shown = can_view(ANN, share, FOLLOWER, original=(original, relation))

    assert shown is ("F" in seen)


def test_a_share_without_its_original_is_not_seen() -> None:
    """Deleted, unknown, or another post than the one it shares: all the same."""
    share = post(Visibility.PUBLIC, share_of=5)
    other = PostFacts(post_id=6, author_id=CAT, visibility=Visibility.PUBLIC)

    assert not can_view(ANN, share, FOLLOWER)
    assert not can_view(ANN, share, FOLLOWER, original=(other, FOLLOWER))


def test_a_share_of_ones_own_post_needs_the_sharer_only() -> None:
    """The original's author needs no relation to themself."""
    share = post(Visibility.PUBLIC, share_of=5)
    mine = PostFacts(post_id=5, author_id=ANN, visibility=Visibility.PUBLIC)

    assert can_view(ANN, share, FOLLOWER, original=(mine, None))
    assert not can_view(ANN, share, BLOCKED, original=(mine, None))


def test_a_quote_is_judged_by_itself() -> None:
    """It says something of its own; its original is asked for separately."""
    assert can_view(ANN, post(Visibility.PUBLIC, quote_of=5), FOLLOWER)


relations = st.builds(
    Relation,
    is_following=st.booleans(),
    is_followed_by=st.booleans(),
    is_blocking=st.booleans(),
    is_blocked_by=st.booleans(),
    is_muting=st.booleans(),
    is_private=st.booleans(),
    state=st.sampled_from(UserState),
)


@given(relation=relations, visibility=st.sampled_from(Visibility))
def test_a_block_or_a_hidden_account_always_wins(
    relation: Relation, visibility: Visibility
) -> None:
    """Nothing else about a relation outweighs these."""
    is_shut = (
        relation.is_blocking
        or relation.is_blocked_by
        or relation.state is not UserState.ACTIVE
    )

    assert not (is_shut and can_view(ANN, post(visibility), relation))


@given(relation=relations)
def test_narrower_visibility_never_shows_more(relation: Relation) -> None:
    """Public shows at least what followers does, and so on down to private."""
    order = [
        Visibility.PUBLIC,
        Visibility.FOLLOWERS,
        Visibility.FRIENDS,
        Visibility.PRIVATE,
    ]
    shown = [can_view(ANN, post(one), relation) for one in order]

    assert shown == sorted(shown, reverse=True)


@given(
    relation=st.none()
    | st.builds(
        Relation,
        is_following=st.booleans(),
        is_followed_by=st.booleans(),
        is_blocking=st.booleans(),
        is_blocked_by=st.booleans(),
        is_private=st.booleans(),
        state=st.sampled_from(UserState),
    ),
    of_original=st.none() | st.builds(Relation, is_blocked_by=st.booleans()),
    visibility=st.sampled_from(Visibility),
    share_of=st.sampled_from((0, 11)),
    has_original=st.booleans(),
    viewer=st.sampled_from((0, ANN, BEN)),
)
def test_a_denial_has_a_reason_and_what_is_seen_has_none(
    relation: Relation | None,
    of_original: Relation | None,
    visibility: Visibility,
    share_of: int,
    has_original: bool,
    viewer: int,
) -> None:
    """Both say the same, over all combinations."""
    facts = PostFacts(10, BEN, visibility, share_of=share_of)
    shared = PostFacts(11, CAT, Visibility.PUBLIC)
    original = (shared, of_original) if has_original else None

    reason = denial(viewer, facts, relation, original=original)

    assert can_view(viewer, facts, relation, original=original) is (reason is None)
    if reason is Denial.ORIGINAL:
        assert share_of
        assert denial(viewer, PostFacts(10, BEN, visibility), relation) is None


@pytest.mark.parametrize(
    ("relation", "reason"),
    [
        (None, Denial.UNKNOWN),
        (SUSPENDED, Denial.AUTHOR),
        (DELETED, Denial.AUTHOR),
        (BLOCKING, Denial.BLOCK),
        (BLOCKED, Denial.BLOCK),
        (STRANGER, Denial.VISIBILITY),
    ],
)
def test_the_first_reason_is_told(relation: Relation | None, reason: Denial) -> None:
    """Of a post for followers."""
    assert denial(ANN, post(Visibility.FOLLOWERS), relation) is reason
