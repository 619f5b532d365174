"""Every checker finds what was planted for it, and nothing where nothing is."""

from __future__ import annotations

import pytest

from tests.faults import checkers_feeds as feeds
from tests.faults import checkers_posts as posts
from tests.faults import measures
from tests.faults.checkers import CHECKERS, check
from tests.faults.findings import FINAL, Evidence
from tests.faults.history import Outcome, Window
from tests.unit.faults.histories import ANN, BEN
from tests.unit.faults.violations import PLANTED, Plant, quiet, usual


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """No checker cries wolf."""
    story = usual()
    quiet(story)

    assert check(story.evidence) == []
    assert measures.left_in_the_index(story.evidence) == 1


@pytest.mark.parametrize("case", PLANTED)
def test_what_was_planted_is_found(case: str) -> None:
    """The checker finds it, and found nothing before."""
    checker, plant = PLANTED[case]
    story = usual()
    assert not list(checker(story.evidence))
    if checker is not posts.no_post_is_lost:
        story.add("settled", 0, {})

    plant(story)

    assert list(checker(story.evidence)), case


def test_every_checker_has_something_planted_for_it() -> None:
    """A checker nobody ever saw find anything proves nothing."""
    assert {checker for checker, _ in PLANTED.values()} == set(CHECKERS)


ALLOWED: dict[str, Plant] = {
    "a post of unknown outcome may be there or not": (
        lambda s: s.post(BEN, 20, outcome=Outcome.UNKNOWN)
    ),
    "an unfollow of unknown outcome binds nobody": (
        lambda s: (
            s.edge("follow", ANN, BEN, on=False, outcome=Outcome.UNKNOWN)
            .feed(ANN, [(12, ANN)])
            .feed(ANN, [(12, ANN), (10, BEN)])
        )
    ),
    "whom one follows again is shown again": (
        lambda s: (
            s.edge("follow", ANN, BEN, on=False)
            .edge("follow", ANN, BEN)
            .feed(ANN, [(12, ANN), (10, BEN)])
        )
    ),
    "a page that says that it withholds": (
        lambda s: s.feed(ANN, [(12, ANN)], end="END_REASON_WITHHELD")
    ),
    "a page from the cache alone": (
        lambda s: s.feed(ANN, [(12, ANN)], source="SERVED_FROM_CACHE_ONLY")
    ),
    "a log that says that the author left": (
        lambda s: s.add(
            "sync",
            ANN,
            {
                "status": 200,
                "events": [
                    {"id": 11, "by": BEN, "kind": "postAdded"},
                    {"id": 0, "by": BEN, "kind": "authorRemoved"},
                ],
            },
            phase=FINAL,
        )
    ),
    "another log after a reset": (
        lambda s: s.event(ANN, "f:9", "reset").event(ANN, "f:10", "postAdded", 10)
    ),
    "a refusal with its reason": (
        lambda s: s.add(
            "post",
            ANN,
            {"status": 503, "reason": "DEPENDENCY_UNAVAILABLE"},
            outcome=Outcome.UNKNOWN,
            key="k",
        )
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_may_be_is_not_found(case: str) -> None:
    """What nobody was promised is no violation."""
    story = usual()

    ALLOWED[case](story)

    assert check(story.evidence) == [], case


def test_a_post_on_its_way_may_come_and_go() -> None:
    """Until its fan-out has ended for sure; it is counted all the same."""
    evidence = usual().feed(ANN, [(12, ANN)]).evidence

    assert not list(feeds.pages_have_no_gaps(evidence))
    assert measures.gone_for_a_moment(evidence) == 1


def test_the_time_that_a_post_is_missing_is_told() -> None:
    """From the answer to its author until the last page without it was asked for."""
    story = usual().post(BEN, 13).feed(ANN, [(12, ANN), (10, BEN)])
    story.feed(ANN, [(13, BEN), (12, ANN), (10, BEN)])

    assert measures.times_missing(story.evidence)[-1] == 0.5


def test_a_mesh_that_does_not_recover_is_found() -> None:
    """So is a fault whose own condition was not met."""
    window = Window(fault="F15", begin=1, end=2, recovered=None, said="a dead letter")

    found = check(Evidence(usual().operations, [window]))

    assert [finding.invariant for finding in found] == ["F15", "F15"]
