"""Between the contract's messages and the model. Pure functions."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from feedmesh.ingest.v1 import post_pb2

from chassis.errors import InvalidArgument, Violation

from domain.visibility import Visibility

from .model import (
    NO_POST,
    Actions,
    Comment,
    Compared,
    Draft,
    Edit,
    Post,
    PostBytes,
    PostId,
    Record,
    RequestKey,
    Stats,
    UserId,
)

EDITABLE = frozenset({"text", "visibility"})
# Paths that say which post is meant and in which state, and so may stand in a mask.
ADDRESS = frozenset({"post_id", "etag"})


class PostFrames:
    """PostCodec: a post is stored as the message that readers get."""

    def encode(self, post: Post) -> PostBytes:
        message = post_pb2.Post(
            post_id=post.post_id,
            author_id=post.author_id,
            text=post.text,
            visibility=visibility_to_pb(post.visibility),
            reply_to=post.reply_to,
            share_of=post.share_of,
            quote_of=post.quote_of,
            create_time=time_to_pb(post.created),
            update_time=time_to_pb(post.updated) if post.updated else None,
            etag=post.etag,
        )
        return message.SerializeToString(deterministic=True)

    def decode(self, body: PostBytes, *, version: int) -> Post:
        message = post_pb2.Post.FromString(body)
        updated = None
        if message.HasField("update_time"):
            updated = message.update_time.ToDatetime(tzinfo=UTC)
        return Post(
            post_id=PostId(message.post_id),
            author_id=UserId(message.author_id),
            text=message.text,
            visibility=Visibility(message.visibility),
            reply_to=PostId(message.reply_to),
            share_of=PostId(message.share_of),
            quote_of=PostId(message.quote_of),
            created=message.create_time.ToDatetime(tzinfo=UTC),
            updated=updated,
            version=version,
        )


def post_to_pb(body: PostBytes) -> post_pb2.Post:
    """A stored post as a message."""
    return post_pb2.Post.FromString(body)


def time_to_pb(time: datetime) -> Timestamp:
    """The same instant on the wire."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def visibility_to_pb(visibility: Visibility) -> post_pb2.Visibility.ValueType:
    """The same number on the wire."""
    return post_pb2.Visibility.ValueType(visibility)


def visibility_from_pb(visibility: int) -> Visibility:
    """What a request means; PUBLIC when it says nothing."""
    return Visibility(visibility) if visibility else Visibility.PUBLIC


def draft_from_pb(author: UserId, request: post_pb2.CreatePostRequest) -> Draft:
    """The post that the request asks for."""
    return Draft(
        author_id=author,
        text=request.text,
        visibility=visibility_from_pb(request.visibility),
        reply_to=PostId(request.reply_to),
        share_of=PostId(request.share_of),
        quote_of=PostId(request.quote_of),
    )


def share_draft(author: UserId, original: PostId) -> Draft:
    """A share of a post, public as all of SharePost are."""
    return Draft(
        author_id=author,
        text="",
        visibility=Visibility.PUBLIC,
        reply_to=NO_POST,
        share_of=original,
        quote_of=NO_POST,
    )


def edit_from_pb(request: post_pb2.UpdatePostRequest) -> Edit:
    """The new values. Raises InvalidArgument for a path that cannot be changed."""
    post = request.post
    paths = set(request.update_mask.paths) - ADDRESS
    if not request.update_mask.paths:
        paths = {path for path in EDITABLE if getattr(post, path)}
    for path in sorted(paths - EDITABLE):
        raise InvalidArgument(
            "UPDATE_MASK_INVALID",
            f"{path[:64]!r} cannot be changed",
            violations=[Violation("update_mask", "may name text and visibility")],
        )
    return Edit(
        text=post.text if "text" in paths else None,
        visibility=(
            visibility_from_pb(post.visibility) if "visibility" in paths else None
        ),
        etag=post.etag,
    )


def request_key(caller: UserId, method: str, request: Message) -> RequestKey | None:
    """The request's idempotency key; None when it brings none.

    The digest covers every field but the key itself.
    """
    key: str = request.request_id  # type: ignore[attr-defined] # all mutations have it
    if not key:
        return None
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    digest = hashlib.sha256(body.SerializeToString(deterministic=True)).digest()
    return RequestKey(caller=caller, method=method, key=key, digest=digest)


def actions_to_pb(actions: Actions) -> post_pb2.ViewerState:
    """What the caller did with a post."""
    return post_pb2.ViewerState(liked=actions.liked, shared=actions.shared)


def stats_to_bytes(stats: Stats) -> bytes:
    """A PostStats message."""
    message = post_pb2.PostStats(
        like_count=stats.likes, comment_count=stats.comments, share_count=stats.shares
    )
    return message.SerializeToString(deterministic=True)


def comment_to_pb(comment: Comment) -> post_pb2.Comment:
    """A comment as a message."""
    return post_pb2.Comment(
        comment_id=comment.comment_id,
        post_id=comment.post_id,
        author_id=comment.author_id,
        text=comment.text,
        create_time=time_to_pb(comment.created),
    )


def compared_to_pb(
    compared: Compared, *, is_last: bool
) -> post_pb2.ReconcileCountersResponse:
    """Counts that were compared. Nothing is to be gone on with after the last."""
    return post_pb2.ReconcileCountersResponse(
        checked_count=compared.count,
        drifts=[
            post_pb2.CounterDrift(
                post_id=drift.post_id,
                counter=drift.counter,
                stored=drift.stored,
                counted=drift.counted,
            )
            for drift in compared.drifts
        ],
        last_post_id=0 if is_last else compared.last,
    )


# The answers below are joined from stored bytes instead of built from messages.
# GetPostResponse and PostRecord have fields 1 to 3 in common.


def record_to_bytes(record: Record) -> bytes:
    """A GetPostResponse: post, counts, what the viewer did."""
    return b"".join(
        (
            _nested(1, record.post.body),
            _nested(2, stats_to_bytes(record.stats)),
            _nested(3, _ACTIONS[record.actions]),
        )
    )


def batch_to_bytes(records: Iterable[Record]) -> bytes:
    """A BatchGetPostsResponse."""
    return b"".join(
        _nested(1, record_to_bytes(record) + b"\x20" + _varint(record.post.version))
        for record in records
    )


def user_posts_to_bytes(records: Sequence[Record], next_token: str) -> bytes:
    """A ListUserPostsResponse."""
    items = b"".join(_nested(1, record_to_bytes(record)) for record in records)
    return items + (_nested(2, next_token.encode()) if next_token else b"")


_ACTIONS = {
    actions: actions_to_pb(actions).SerializeToString(deterministic=True)
    for actions in (
        Actions(liked, shared) for liked in (False, True) for shared in (False, True)
    )
}


def _nested(field: int, body: bytes) -> bytes:
    return bytes((field << 3 | 2,)) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
