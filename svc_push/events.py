"""What svc_push does about events of other rooms."""

from datetime import UTC

from feedmesh.graph.v1.events_pb2 import (
    UserDeleted,
    UserFollowed,
    UserSuspended,
    UserUnfollowed,
)
from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostPublished

from .delivery import Announcer
from .model import PostId, SignalKind, UserId, added, removed
from .readers import Readers


class TellPublished:
    """Tells readers about each new post.

    Safe to repeat: a log holds a post once, and a client is given it once.
    """

    event = PostPublished
    durable = "push-post-published"

    def __init__(self, *, announcer: Announcer) -> None:
        self._announcer = announcer

    async def handle(self, event: PostPublished) -> None:
        change = added(PostId(event.post_id), UserId(event.author_id))
        await self._announcer.tell(change, event.visibility)


class TellDeleted:
    """Tells readers about each post that is gone. Safe to repeat, as above."""

    event = PostDeleted
    durable = "push-post-deleted"

    def __init__(self, *, announcer: Announcer) -> None:
        self._announcer = announcer

    async def handle(self, event: PostDeleted) -> None:
        occurred = event.envelope.occurred_at.ToDatetime(UTC)
        change = removed(PostId(event.post_id), UserId(event.author_id), occurred)
        await self._announcer.tell(change, event.visibility)


class ForgetDeleted:
    """Erases what is kept of a person who left. Safe to repeat."""

    event = UserDeleted
    durable = "push-user-deleted"

    def __init__(self, *, readers: Readers) -> None:
        self._readers = readers

    async def handle(self, event: UserDeleted) -> None:
        await self._readers.forget(UserId(event.user_id))


class EndSuspended:
    """Ends the streams of a person who was suspended. Safe to repeat."""

    event = UserSuspended
    durable = "push-user-suspended"

    def __init__(self, *, readers: Readers) -> None:
        self._readers = readers

    async def handle(self, event: UserSuspended) -> None:
        await self._readers.signal(UserId(event.user_id), SignalKind.ACCOUNT_ENDED)


class NoteFollowed:
    """Has a reader's process ask again whom they follow. Safe to repeat."""

    event = UserFollowed
    durable = "push-user-followed"

    def __init__(self, *, readers: Readers) -> None:
        self._readers = readers

    async def handle(self, event: UserFollowed) -> None:
        await self._readers.signal(
            UserId(event.follower_id), SignalKind.FOLLOWS_CHANGED
        )


class NoteUnfollowed:
    """As NoteFollowed; what the ended follow would still bring is filtered anyway."""

    event = UserUnfollowed
    durable = "push-user-unfollowed"

    def __init__(self, *, readers: Readers) -> None:
        self._readers = readers

    async def handle(self, event: UserUnfollowed) -> None:
        await self._readers.signal(
            UserId(event.follower_id), SignalKind.FOLLOWS_CHANGED
        )
