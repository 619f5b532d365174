"""Items as bytes: what is kept ready of them is never old."""

from __future__ import annotations

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import user_pb2
from feedmesh.ingest.v1 import post_pb2

from domain.visibility import PostFacts
from svc_feed import frames
from svc_feed.hydration import Trimmings
from svc_feed.model import Candidate, Post, PostId, Profile, Reason, Stats
from svc_feed.presentation import Presentation
from tests.support.home_feeds import BEN, World

POST = PostId(1 << 40)
BODY = post_pb2.Post(post_id=POST, author_id=BEN, text="text").SerializeToString()
SHOWN = Candidate(
    POST,
    BEN,
    Post(PostFacts(POST, BEN, 1), BODY, frames.nested(1, BODY)),
    Reason.FOLLOWED,
    0.5,
)


def counted(likes: int) -> Stats:
    body = post_pb2.PostStats(like_count=likes).SerializeToString()
    return Stats(likes, 0, 0, body)


def item(
    presentation: Presentation, stats: Stats | None, followers: int | None
) -> feed_pb2.FeedItem:
    """An item of an author with so many followers; None: no profile could be read."""
    body = user_pb2.User(user_id=BEN, handle="ben").SerializeToString()
    profiles = None
    if followers is not None:
        profiles = {BEN: Profile(body, frames.nested(2, body), followers)}
    known = {} if stats is None else {POST: stats}
    raw = presentation.item(SHOWN, Trimmings(known, {}, profiles), None)
    assert raw is not None
    return feed_pb2.FeedItem.FromString(raw)


def test_counts_of_post_and_author_are_those_of_now() -> None:
    """Though their bytes are kept: any other number makes them anew."""
    presentation = Presentation(ranker=World().ranking)
    first, second = counted(1), counted(2)

    for stats in (first, first, second, first):
        for followers in (7, 7, 8, 0, 7):
            found = item(presentation, stats, followers).stats
            told = (found.like_count, found.author_follower_count)
            assert told == (stats.likes, followers)


def test_what_cannot_be_told_is_left_out() -> None:
    """Counts without a profile, and a profile without counts."""
    presentation = Presentation(ranker=World().ranking)

    without_profile = item(presentation, counted(3), None)
    without_counts = item(presentation, None, 9)

    assert without_profile.stats.like_count == 3
    assert without_profile.stats.author_follower_count == 0
    assert not without_profile.HasField("author")
    assert not without_counts.HasField("stats")
    assert without_counts.author.handle == "ben"
