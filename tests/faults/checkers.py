"""All checkers, and what they find together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.faults import checkers_answers as answers
from tests.faults import checkers_feeds as feeds
from tests.faults import checkers_posts as posts
from tests.faults import checkers_state as state
from tests.faults.findings import Evidence, Finding

Checker = Callable[[Evidence], Iterator[Finding]]

CHECKERS: tuple[Checker, ...] = (
    posts.no_post_is_lost,
    posts.nothing_was_invented,
    feeds.followers_see_it,
    state.fan_outs_are_whole,
    state.nothing_is_given_up,
    feeds.nothing_comes_twice,
    feeds.nothing_leaks,
    feeds.pages_have_no_gaps,
    state.live_events_have_no_gaps,
    state.listeners_hear_of_posts,
    state.counters_converge,
    posts.one_key_is_one_post,
    posts.authors_see_their_own,
    state.resources_are_bounded,
    answers.failures_are_honest,
    posts.deleted_stays_deleted,
    posts.logs_end_with_the_removal,
    posts.no_delete_was_forgotten,
    answers.cancelled_calls_poison_nothing,
)


def check(evidence: Evidence) -> list[Finding]:
    """Everything that is wrong, in the order of the invariants."""
    found = [finding for checker in CHECKERS for finding in checker(evidence)]
    for window in evidence.windows:
        if window.said:
            found.append(
                Finding(invariant=window.fault, text=window.said, at=window.begin)
            )
        if window.recovered is None:
            text = "the mesh was not as usual again in time"
            found.append(Finding(invariant=window.fault, text=text, at=window.begin))
    return found
