"""Between messages and the model."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from feedmesh.ingest.v1 import post_pb2

from chassis.errors import InvalidArgument
from chassis.testing import refuses

from domain.visibility import PostFacts, Visibility
from svc_ingest import convert
from svc_ingest.model import (
    NO_POST,
    Actions,
    Post,
    PostId,
    Record,
    Stats,
    StoredPost,
    UserId,
)

ANN = UserId(1 << 62)
CREATED = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)


def a_post(**changed: object) -> Post:
    fields: dict[str, object] = {
        "post_id": PostId(1 << 55),
        "author_id": ANN,
        "text": "héllo 🎈",
        "visibility": Visibility.FRIENDS,
        "reply_to": PostId(9),
        "share_of": NO_POST,
        "quote_of": NO_POST,
        "created": CREATED,
        "updated": None,
        "version": 1,
    }
    return Post(**(fields | changed))  # type: ignore[arg-type]  # as listed above


def record(number: int = 1, **changed: object) -> Record:
    post = a_post(post_id=PostId(number), **changed)
    stored = StoredPost(
        post_id=post.post_id,
        author_id=post.author_id,
        visibility=post.visibility,
        reply_to=post.reply_to,
        share_of=post.share_of,
        quote_of=post.quote_of,
        version=number * 100,
        body=convert.PostFrames().encode(post),
    )
    return Record(
        post=stored,
        stats=Stats(likes=3, comments=0, shares=1 << 40),
        actions=Actions(liked=True, shared=False),
        original=None,
    )


@pytest.mark.parametrize(
    "post", [a_post(), a_post(updated=CREATED + timedelta(days=1), version=7)]
)
def test_a_post_comes_back_from_its_bytes(post: Post) -> None:
    """Everything an author wrote survives storage."""
    frames = convert.PostFrames()

    assert frames.decode(frames.encode(post), version=post.version) == post


def test_facts_of_a_stored_post_are_those_of_the_rules() -> None:
    """What decides about a post is what the rules ask for."""
    assert record(5).post.facts == PostFacts(
        post_id=5, author_id=ANN, visibility=Visibility.FRIENDS
    )


def test_joined_bytes_are_what_messages_would_be() -> None:
    """GetPost, BatchGetPosts and ListUserPosts join frames instead of building."""
    records = [record(1, text="x" * 300), record(2)]
    built = [
        post_pb2.GetPostResponse(
            post=convert.post_to_pb(one.post.body),
            stats=post_pb2.PostStats(like_count=3, share_count=1 << 40),
            viewer=post_pb2.ViewerState(liked=True),
        )
        for one in records
    ]
    batch = post_pb2.BatchGetPostsResponse(
        posts=[
            post_pb2.PostRecord(
                post=item.post,
                stats=item.stats,
                viewer=item.viewer,
                version=one.post.version,
            )
            for item, one in zip(built, records, strict=True)
        ]
    )
    listed = post_pb2.ListUserPostsResponse(items=built, next_page_token="t" * 200)

    assert convert.record_to_bytes(records[0]) == built[0].SerializeToString()
    assert convert.batch_to_bytes(records) == batch.SerializeToString()
    assert convert.user_posts_to_bytes(records, "t" * 200) == listed.SerializeToString()
    assert convert.user_posts_to_bytes([], "") == b""


def test_the_digest_of_a_request_covers_all_but_its_key() -> None:
    """Another text is another request; another key is not."""
    one = convert.request_key(
        ANN, "m", post_pb2.CreatePostRequest(text="a", request_id="k")
    )
    other_key = convert.request_key(
        ANN, "m", post_pb2.CreatePostRequest(text="a", request_id="l")
    )
    other_text = convert.request_key(
        ANN, "m", post_pb2.CreatePostRequest(text="b", request_id="k")
    )

    assert one is not None
    assert other_key is not None
    assert other_text is not None
    assert one.digest == other_key.digest != other_text.digest
    assert convert.request_key(ANN, "m", post_pb2.CreatePostRequest(text="a")) is None


def test_a_mask_may_name_the_post_and_its_etag() -> None:
    """They say which post is meant; they are no change."""
    edit = convert.edit_from_pb(
        post_pb2.UpdatePostRequest(
            post=post_pb2.Post(post_id=1, text="a", etag="v1"),
            update_mask=FieldMask(paths=["text", "post_id", "etag"]),
        )
    )

    assert (edit.text, edit.visibility, edit.etag) == ("a", None, "v1")


def test_a_mask_of_what_cannot_be_changed_is_refused() -> None:
    """Even beside what can."""
    with refuses(InvalidArgument, "UPDATE_MASK_INVALID"):
        convert.edit_from_pb(
            post_pb2.UpdatePostRequest(update_mask=FieldMask(paths=["text", "*"]))
        )
