"""The scoring formula: what each term does, and what no input can break."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_rank.model import TERM_NAMES, Candidates
from svc_rank.scoring import Weights, rank

HOUR = 3_600_000
NOW = 1_800_000_000_000
WEIGHTS = Weights(
    recency=1.0,
    affinity=0.6,
    engagement=0.8,
    half_life_ms=6 * HOUR,
    engagement_scale=1_000,
    author_decay=0.6,
    author_floor=0.2,
)


def candidates(
    *ages_hours: float,
    authors: tuple[int, ...] | None = None,
    affinities: tuple[float, ...] = (),
    likes: tuple[int, ...] = (),
) -> Candidates:
    count = len(ages_hours)
    return Candidates(
        as_of_ms=NOW,
        post_ids=list(range(100, 100 + count)),
        author_ids=authors or tuple(range(1, count + 1)),
        create_times_ms=[NOW - int(age * HOUR) for age in ages_hours],
        affinities=affinities,
        like_counts=likes,
    )


def term(name: str, index: int, given_to: Candidates) -> float:
    ranking = rank(given_to, WEIGHTS)
    return ranking.terms[index * len(TERM_NAMES) + TERM_NAMES.index(name)]


def test_newer_comes_first_when_all_else_is_equal() -> None:
    """Recency alone orders strangers' posts without reactions."""
    assert rank(candidates(5, 1, 3), WEIGHTS).order == [1, 2, 0]


def test_a_half_life_halves_recency() -> None:
    """The name of the setting is what it does."""
    assert term("recency", 0, candidates(6)) == pytest.approx(0.5)


def test_age_before_now_counts_as_new() -> None:
    """A clock that runs ahead gains nothing."""
    assert term("recency", 0, candidates(-5)) == pytest.approx(1.0)


def test_closeness_outweighs_a_little_age() -> None:
    """Affinity is an addend, up to its weight."""
    assert rank(candidates(1, 2, affinities=(0.0, 1.0)), WEIGHTS).order == [1, 0]


@pytest.mark.parametrize("odd", [math.nan, -3.0, -math.inf])
def test_an_odd_affinity_counts_as_none(odd: float) -> None:
    """What is no number between 0 and 1 gives no advantage."""
    assert term("affinity", 0, candidates(1, affinities=(odd,))) == 0.0


def test_an_affinity_above_one_counts_as_one() -> None:
    """No caller can lift a post above the scale."""
    assert term("affinity", 0, candidates(1, affinities=(math.inf,))) == 0.6


def test_reactions_count_less_the_more_there_are() -> None:
    """Logarithm: the first ten lift a post more than the next ten."""
    none, ten, twenty = (
        term("engagement", 0, candidates(0, likes=(count,))) for count in (0, 10, 20)
    )

    assert none == 0.0
    assert ten - none > twenty - ten > 0


def test_reactions_never_count_more_than_their_weight() -> None:
    """Above the scale more of them make no difference."""
    assert term("engagement", 0, candidates(0, likes=(10**15,))) == pytest.approx(0.8)


def test_each_further_post_of_an_author_costs() -> None:
    """A prolific author does not fill the page."""
    ranking = rank(candidates(1, 1.1, 1.2, 4, authors=(7, 7, 7, 8)), WEIGHTS)

    assert ranking.order == [0, 3, 1, 2]


def test_equal_scores_go_to_the_newer_post() -> None:
    """The order is total, so it is the same on every machine."""
    assert rank(candidates(3, 3, 3), WEIGHTS).order == [2, 1, 0]


def test_the_model_version_names_its_numbers() -> None:
    """Another weight is another model."""
    other = Weights(1.0, 0.6, 0.8, 12 * HOUR, 1_000, 0.6, 0.2)

    assert other.model_version != WEIGHTS.model_version


numbers = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@st.composite
def any_candidates(draw: st.DrawFn) -> Candidates:
    size = draw(st.integers(min_value=1, max_value=30))

    def column(of: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(of, min_size=size, max_size=size))

    return Candidates(
        as_of_ms=draw(st.integers(min_value=1, max_value=2**62)),
        post_ids=draw(
            st.lists(
                st.integers(1, 2**63 - 1), min_size=size, max_size=size, unique=True
            )
        ),
        author_ids=column(st.integers(1, 5)),
        create_times_ms=column(numbers),
        affinities=draw(st.lists(st.floats(), min_size=size, max_size=size)),
        like_counts=column(numbers),
        comment_counts=column(numbers),
        share_counts=column(numbers),
    )


@given(given_to=any_candidates())
def test_any_candidates_are_put_into_a_whole_order(given_to: Candidates) -> None:
    """A permutation, finite scores, terms that add up, best first, the same twice."""
    ranking = rank(given_to, WEIGHTS)
    size, width = len(given_to.post_ids), len(TERM_NAMES)

    assert sorted(ranking.order) == list(range(size))
    assert all(map(math.isfinite, ranking.scores))
    for index, score in enumerate(ranking.scores):
        row = ranking.terms[index * width : (index + 1) * width]
        assert sum(row) == pytest.approx(score)
    in_order = [ranking.scores[index] for index in ranking.order]
    assert in_order == sorted(in_order, reverse=True)
    assert rank(given_to, WEIGHTS) == ranking


@given(given_to=any_candidates())
def test_one_sort_is_the_greedy_order(given_to: Candidates) -> None:
    """Taking the best of what is left, post by post, gives the same order."""
    ranking = rank(given_to, WEIGHTS)
    width = len(TERM_NAMES)
    base = [
        sum(ranking.terms[at : at + 3]) for at in range(0, len(ranking.terms), width)
    ]
    left = set(range(len(base)))
    taken: dict[int, int] = {}
    greedy = []
    while left:

        def discounted(index: int) -> tuple[float, int]:
            before = taken.get(given_to.author_ids[index], 0)
            keep = 0.8 * 0.6**before + 0.2
            return round(base[index] * keep, 9), given_to.post_ids[index]

        best = max(left, key=discounted)
        greedy.append(round(discounted(best)[0], 9))
        left.remove(best)
        author = given_to.author_ids[best]
        taken[author] = taken.get(author, 0) + 1

    assert greedy == pytest.approx(
        [ranking.scores[index] for index in ranking.order], abs=1e-6
    )
