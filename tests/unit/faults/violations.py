"""A history in which all is well, and what goes wrong in it for each checker."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults import checkers_answers as answers
from tests.faults import checkers_feeds as feeds
from tests.faults import checkers_posts as posts
from tests.faults import checkers_state as state
from tests.faults.checkers import Checker
from tests.faults.findings import FINAL
from tests.faults.history import Outcome
from tests.unit.faults.histories import ANN, BEN, CID, Story

Plant = Callable[[Story], Story]


def usual() -> Story:
    """Ann follows Ben from the beginning; he writes, she reads, he deletes one."""
    story = Story()
    story.edge("follow", ANN, BEN)
    story.add("sample", 0, sampled(rss=100e6))
    story.event(ANN, "e:0", "heartbeat")
    story.post(BEN, 10)
    story.event(ANN, "e:1", "postAdded", 10)
    story.post(BEN, 11)
    story.event(ANN, "e:2", "postAdded", 11)
    story.feed(BEN, [(11, BEN), (10, BEN)])
    story.feed(ANN, [(11, BEN), (10, BEN)])
    story.delete(BEN, 11)
    story.event(ANN, "e:3", "postRemoved", 11)
    story.feed(ANN, [(10, BEN)])
    story.post(ANN, 12)
    story.feed(ANN, [(12, ANN), (10, BEN)])
    return story


def quiet(story: Story) -> None:
    """The final reads, in which everything is as it should be."""
    story.add("settled", 0, {})
    story.listed(BEN, 10)
    story.listed(ANN, 12)
    story.feed(ANN, [(12, ANN), (10, BEN)], phase=FINAL)
    story.feed(BEN, [(10, BEN)], phase=FINAL)
    story.add("counters", 0, {"posts": [], "people": []}, phase=FINAL)
    story.add("placed", 0, {"rows": 5, "wanted": 5}, phase=FINAL, post=10, written=1)
    story.add("index_of_deleted", 0, {"posts": [11]}, phase=FINAL)
    story.add("copies_of_deleted", 0, {"posts": []}, phase=FINAL)
    story.add("letters", 0, {"strange": []}, phase=FINAL)
    story.add("sample", 0, sampled(rss=110e6))
    story.add("storm", 0, {"asked": [ANN], "got": [ANN]}, call=1)


def sampled(
    *, rss: float, lag: float = 0.0, pending: int = 0, files: int = 30
) -> dict[str, object]:
    held = {"rss": rss, "files": files, "in_use": 0}
    return {
        "processes": {"svc_feed": held},
        "lag": lag,
        "pending": {"feed-fan-out": pending},
    }


def later(story: Story) -> Story:
    """So much later that nothing is on its way any more."""
    story.now += feeds.ON_ITS_WAY
    return story


PLANTED: dict[str, tuple[Checker, Plant]] = {
    "an acknowledged post is in no list": (
        posts.no_post_is_lost,
        lambda s: s.post(BEN, 20).listed(BEN, 10),
    ),
    "a post that nobody wrote": (
        posts.nothing_was_invented,
        lambda s: s.feed(ANN, [(99, BEN)]),
    ),
    "two posts of one key, both answered": (
        posts.one_key_is_one_post,
        lambda s: s.post(BEN, 20, key="k").post(BEN, 21, key="k"),
    ),
    "two posts of one key, one answered": (
        posts.one_key_is_one_post,
        lambda s: s.post(BEN, 20, key="k").listed(BEN, 20, 21, keys=("k", "k")),
    ),
    "an author's page without the author's post": (
        posts.authors_see_their_own,
        lambda s: s.post(BEN, 20).feed(BEN, [(10, BEN)]),
    ),
    "a deleted post in the last feed": (
        posts.deleted_stays_deleted,
        lambda s: s.feed(ANN, [(11, BEN)], phase=FINAL),
    ),
    "a copy of a deleted post": (
        posts.deleted_stays_deleted,
        lambda s: s.add("copies_of_deleted", 0, {"posts": [11]}, phase=FINAL),
    ),
    "a log that ends with a deleted post": (
        posts.logs_end_with_the_removal,
        lambda s: s.add(
            "sync",
            ANN,
            {"status": 200, "events": [{"id": 11, "kind": "postAdded"}]},
            phase=FINAL,
        ),
    ),
    "a deleted post, answered to its author": (
        posts.no_delete_was_forgotten,
        lambda s: s.read(BEN, 11, BEN),
    ),
    "a follower's last feed without the post": (
        feeds.followers_see_it,
        lambda s: s.feed(ANN, [(12, ANN)], phase=FINAL),
    ),
    "a reader who can never read to the end": (
        feeds.followers_see_it,
        lambda s: s.feed(ANN, [(12, ANN)], end="END_REASON_WITHHELD", phase=FINAL),
    ),
    "a post of before the follow that was not placed": (
        feeds.followers_see_it,
        lambda s: (
            s.post(CID, 30)
            .edge("follow", ANN, CID)
            .feed(ANN, [(12, ANN), (10, BEN)], phase=FINAL)
        ),
    ),
    "a fan-out that stopped half-way": (
        state.fan_outs_are_whole,
        lambda s: s.add(
            "placed", 0, {"rows": 4, "wanted": 5}, phase=FINAL, post=10, written=1
        ),
    ),
    "an event among the dead letters": (
        state.nothing_is_given_up,
        lambda s: s.add("letters", 0, {"strange": ["dlq.x"]}, phase=FINAL),
    ),
    "a post twice on two pages": (
        feeds.nothing_comes_twice,
        lambda s: s.feed(ANN, [(12, ANN), (10, BEN)], session=7, token=True).feed(
            ANN, [(10, BEN)], session=7, page=1
        ),
    ),
    "newest first, in another order": (
        feeds.nothing_comes_twice,
        lambda s: s.feed(ANN, [(10, BEN), (12, ANN)]),
    ),
    "a live event twice": (
        feeds.nothing_comes_twice,
        lambda s: s.event(ANN, "e:3", "postRemoved", 11),
    ),
    "a deleted post in a feed": (
        feeds.nothing_leaks,
        lambda s: s.feed(ANN, [(11, BEN)]),
    ),
    "a feed with somebody unfollowed": (
        feeds.nothing_leaks,
        lambda s: s.edge("follow", ANN, BEN, on=False).feed(ANN, [(10, BEN)]),
    ),
    "a feed with somebody never followed": (
        feeds.nothing_leaks,
        lambda s: s.post(CID, 30).feed(ANN, [(30, CID)]),
    ),
    "a feed with somebody muted": (
        feeds.nothing_leaks,
        lambda s: s.edge("mute", ANN, BEN).feed(ANN, [(10, BEN)]),
    ),
    "a post for somebody who is blocked": (
        feeds.nothing_leaks,
        lambda s: s.edge("block", BEN, ANN).read(ANN, 10, BEN),
    ),
    "a page without what was seen before": (
        feeds.pages_have_no_gaps,
        lambda s: later(s).feed(ANN, [(12, ANN)]),
    ),
    "a gap between two pages": (
        feeds.pages_have_no_gaps,
        lambda s: (
            later(s.post(BEN, 13).feed(ANN, [(13, BEN), (12, ANN), (10, BEN)]))
            .feed(ANN, [(13, BEN)], session=7, token=True)
            .feed(ANN, [(10, BEN)], session=7, page=1)
        ),
    ),
    "a live event that was left out": (
        state.live_events_have_no_gaps,
        lambda s: s.event(ANN, "e:5", "postAdded", 10),
    ),
    "a heartbeat that tells of one left out": (
        state.live_events_have_no_gaps,
        lambda s: s.event(ANN, "e:4", "heartbeat"),
    ),
    "another log without a reset": (
        state.live_events_have_no_gaps,
        lambda s: s.event(ANN, "f:4", "postAdded", 10),
    ),
    "a post that a listener never heard of": (
        state.listeners_hear_of_posts,
        lambda s: s.post(BEN, 20).event(ANN, "e:3", "heartbeat"),
    ),
    "a count that is not that of the rows": (
        state.counters_converge,
        lambda s: s.add("counters", 0, {"posts": ["10: 3, 2"]}, phase=FINAL),
    ),
    "a negative count": (
        state.counters_converge,
        lambda s: s.add("get_post", ANN, {"status": 200, "counts": [0, -1, 0]}),
    ),
    "memory that is not given back": (
        state.resources_are_bounded,
        lambda s: s.add("sample", 0, sampled(rss=400e6)),
    ),
    "sockets that are not given back": (
        state.resources_are_bounded,
        lambda s: s.add("sample", 0, sampled(rss=100e6, files=300)),
    ),
    "an outbox that lags in the end": (
        state.resources_are_bounded,
        lambda s: s.add("sample", 0, sampled(rss=100e6, lag=30)),
    ),
    "events left in the end": (
        state.resources_are_bounded,
        lambda s: s.add("sample", 0, sampled(rss=100e6, pending=2)),
    ),
    "an answer after its deadline": (
        answers.failures_are_honest,
        lambda s: s.feed(ANN, [(12, ANN), (10, BEN)], took=4),
    ),
    "no answer at all": (
        answers.failures_are_honest,
        lambda s: s.add("feed", ANN, {"status": 0}, outcome=Outcome.UNKNOWN),
    ),
    "an error without a reason": (
        answers.failures_are_honest,
        lambda s: s.add("post", ANN, {"status": 503}, outcome=Outcome.UNKNOWN),
    ),
    "an internal error": (
        answers.failures_are_honest,
        lambda s: s.add(
            "post", ANN, {"status": 500, "reason": "INTERNAL"}, outcome=Outcome.UNKNOWN
        ),
    ),
    "a page that ends without saying why": (
        answers.failures_are_honest,
        lambda s: s.feed(ANN, [(12, ANN), (10, BEN)], end=""),
    ),
    "an answer to somebody else": (
        answers.cancelled_calls_poison_nothing,
        lambda s: s.add("storm", 0, {"asked": [ANN], "got": [BEN]}, call=1),
    ),
}
