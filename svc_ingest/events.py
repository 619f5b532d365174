"""Consumers: counts, traces of what was deleted, and copies that went astray.

Safe to repeat, all of them: counting again, deleting what is gone and telling a
copy its version twice change nothing.
"""

from collections.abc import Iterable

from feedmesh.graph.v1.events_pb2 import UserDeleted
from feedmesh.ingest.v1.events_pb2 import (
    CommentCreated,
    CommentDeleted,
    PostDeleted,
    PostLiked,
    PostPublished,
    PostUnliked,
    PostUpdated,
)

from .counters import Counters, Erasure
from .model import PostId, UserId
from .upkeep import Copies


class _Counts:
    """Recounts the posts that a batch of events is about, each once."""

    def __init__(self, *, counters: Counters) -> None:
        self._counters = counters

    async def _recount(self, post_ids: Iterable[int]) -> None:
        await self._counters.recount([PostId(post_id) for post_id in post_ids])


class CountLiked(_Counts):
    """Likes put in place."""

    event = PostLiked
    durable = "ingest-counters-post-liked"

    async def handle_many(self, events: list[PostLiked]) -> None:
        await self._recount(event.post_id for event in events)


class CountUnliked(_Counts):
    """Likes taken back."""

    event = PostUnliked
    durable = "ingest-counters-post-unliked"

    async def handle_many(self, events: list[PostUnliked]) -> None:
        await self._recount(event.post_id for event in events)


class CountCommented(_Counts):
    """New comments."""

    event = CommentCreated
    durable = "ingest-counters-comment-created"

    async def handle_many(self, events: list[CommentCreated]) -> None:
        await self._recount(event.post_id for event in events)


class CountUncommented(_Counts):
    """Deleted comments."""

    event = CommentDeleted
    durable = "ingest-counters-comment-deleted"

    async def handle_many(self, events: list[CommentDeleted]) -> None:
        await self._recount(event.post_id for event in events)


class CountShared(_Counts):
    """New shares; other posts count for none."""

    event = PostPublished
    durable = "ingest-counters-post-published"

    async def handle_many(self, events: list[PostPublished]) -> None:
        await self._recount(event.share_of for event in events if event.share_of)


class CountUnshared(_Counts):
    """Deleted shares; other posts count for none."""

    event = PostDeleted
    durable = "ingest-counters-post-deleted"

    async def handle_many(self, events: list[PostDeleted]) -> None:
        await self._recount(event.share_of for event in events if event.share_of)


class ClearTraces:
    """Deletes shares, likes and comments of deleted posts.

    And tells their copies once more: the call that deleted a post may have died, or
    Valkey may not have answered it.
    """

    event = PostDeleted
    durable = "ingest-clear-traces"

    def __init__(self, *, erasure: Erasure, copies: Copies) -> None:
        self._erasure = erasure
        self._copies = copies

    async def handle(self, event: PostDeleted) -> None:
        post_id = PostId(event.post_id)
        await self._erasure.of_post(post_id)
        await self._copies.deleted(post_id, event.envelope.aggregate_version)


class RefreshCopies:
    """Tells copies of edited posts once more, for the same reasons."""

    event = PostUpdated
    durable = "ingest-refresh-copies"

    def __init__(self, *, copies: Copies) -> None:
        self._copies = copies

    async def handle(self, event: PostUpdated) -> None:
        await self._copies.edited(PostId(event.post_id))


class EraseUser:
    """Erases what people wrote and did who deleted their account."""

    event = UserDeleted
    durable = "ingest-erase-user"

    def __init__(self, *, erasure: Erasure) -> None:
        self._erasure = erasure

    async def handle(self, event: UserDeleted) -> None:
        await self._erasure.of_person(UserId(event.user_id))
