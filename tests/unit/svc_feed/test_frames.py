"""The hand-written wire format against the generated classes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import user_pb2
from feedmesh.ingest.v1 import post_pb2

from svc_feed import frames

ids = st.integers(min_value=0, max_value=2**63 - 1)
doubles = st.floats(allow_nan=False)

posts = st.builds(
    post_pb2.Post,
    post_id=ids,
    author_id=ids,
    text=st.text(max_size=300),
    visibility=st.integers(min_value=0, max_value=4),
    reply_to=ids,
    share_of=ids,
    quote_of=ids,
    etag=st.text(max_size=10),
)
stats = st.builds(
    post_pb2.PostStats, like_count=ids, comment_count=ids, share_count=ids
)
users = st.builds(user_pb2.User, user_id=ids, handle=st.text(max_size=20))


@given(value=st.integers(min_value=0, max_value=2**64 - 1), before=st.binary())
def test_a_varint_reads_as_it_was_written(value: int, before: bytes) -> None:
    """At any offset, and the offset behind it is right."""
    data = before + frames.varint(value) + b"rest"

    assert frames.read_varint(data, len(before)) == (value, len(data) - 4)


@given(post=posts)
def test_facts_are_those_of_the_generated_class(post: post_pb2.Post) -> None:
    """What decides over visibility is read the same by hand."""
    facts = frames.post_facts(post.SerializeToString())

    assert facts.post_id == post.post_id
    assert facts.author_id == post.author_id
    assert facts.visibility == post.visibility
    assert facts.share_of == post.share_of
    assert facts.quote_of == post.quote_of


@given(counts=stats)
def test_counts_are_those_of_the_generated_class(counts: post_pb2.PostStats) -> None:
    """Likes, comments and shares in this order."""
    assert frames.stats_counts(counts.SerializeToString()) == (
        counts.like_count,
        counts.comment_count,
        counts.share_count,
    )


@given(value=doubles, terms=st.lists(st.tuples(st.text(max_size=9), doubles)))
def test_a_score_is_what_the_generated_class_writes(
    value: float, terms: list[tuple[str, float]]
) -> None:
    """Byte for byte, zeros left out."""
    built = feed_pb2.Score(
        value=value,
        terms=[feed_pb2.ScoreTerm(name=name, value=share) for name, share in terms],
    )

    assert frames.score(value, terms) == built.SerializeToString(deterministic=True)


@given(
    items=st.lists(st.tuples(posts, users, stats), max_size=5),
    token=st.text(alphabet="abc-_", max_size=30),
    numbers=st.tuples(*[st.integers(0, 3)] * 2, st.integers(0, 300), st.integers(0, 3)),
)
def test_a_page_is_what_the_generated_class_writes(
    items: list[tuple[post_pb2.Post, user_pb2.User, post_pb2.PostStats]],
    token: str,
    numbers: tuple[int, int, int, int],
) -> None:
    """A page joined from frames is byte for byte the page built from messages."""
    served_as, served_from, new_posts, end_reason = numbers
    built = feed_pb2.GetHomeFeedResponse(
        items=[
            feed_pb2.FeedItem(
                post=post,
                author=user,
                stats=count,
                reason=feed_pb2.REASON_OWN,
                original=post,
            )
            for post, user, count in items
        ],
        next_page_token=token,
        served_as=feed_pb2.ServedAs.ValueType(served_as),
        served_from=feed_pb2.ServedFrom.ValueType(served_from),
        new_post_count=new_posts,
        end_reason=feed_pb2.EndReason.ValueType(end_reason),
    )
    joined = frames.page(
        [
            frames.nested(1, post.SerializeToString())
            + frames.nested(2, user.SerializeToString())
            + frames.nested(3, count.SerializeToString())
            + frames.number(5, 1)
            + frames.nested(7, post.SerializeToString())
            for post, user, count in items
        ],
        token=token,
        served_as=served_as,
        served_from=served_from,
        new_posts=new_posts,
        end_reason=end_reason,
    )

    assert joined == built.SerializeToString(deterministic=True)


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_called_malformed(data: bytes) -> None:
    """A damaged copy ends in one error, never in another or a loop."""
    try:
        list(frames.fields(data))
    except frames.Malformed:
        return


@pytest.mark.parametrize("data", [b"\x80", b"\x0a\x05ab", b"\x0b", b"\xff" * 11])
def test_damaged_bytes_are_malformed(data: bytes) -> None:
    """Cut off, too long, of a wire type that we never write."""
    with pytest.raises(frames.Malformed):
        list(frames.fields(data))
