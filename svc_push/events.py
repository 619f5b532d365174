"""What svc_push does about events of other rooms.

All are safe to repeat and to reorder: a log says a thing once, in the order of the
versions, and what is told of a follow, a block or a mute is what the graph says now.
"""

from datetime import UTC, datetime

from feedmesh.graph.v1.events_pb2 import (
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserMuted,
    UserReinstated,
    UserSuspended,
    UserUnfollowed,
    UserUnmuted,
)
from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostPublished, PostUpdated
from feedmesh.ingest.v1.post_pb2 import VISIBILITY_UNSPECIFIED
from feedmesh.types.v1.types_pb2 import EventEnvelope

from .delivery import Announcer
from .departures import Departures
from .model import (
    Change,
    PostId,
    SignalKind,
    UserId,
    added,
    author_removed,
    author_returned,
    removed,
)
from .ports import Posts
from .readers import Readers


class TellPublished:
    """Tells readers about each new post."""

    event = PostPublished
    durable = "push-post-published"

    def __init__(self, *, announcer: Announcer) -> None:
        self._announcer = announcer

    async def handle(self, event: PostPublished) -> None:
        version = event.envelope.aggregate_version
        change = added(PostId(event.post_id), UserId(event.author_id), version)
        await self._announcer.tell(change, event.visibility)


class TellUpdated:
    """Tells readers for whom a post came or left by an edit."""

    event = PostUpdated
    durable = "push-post-updated"

    def __init__(self, *, announcer: Announcer, posts: Posts) -> None:
        self._announcer = announcer
        self._posts = posts

    async def handle(self, event: PostUpdated) -> None:
        if event.previous_visibility in (event.visibility, VISIBILITY_UNSPECIFIED):
            # The audience is the same, or was not told by an older version.
            return
        # As it is now: what was edited since has an event of its own.
        for post in await self._posts.records([PostId(event.post_id)]):
            await self._announcer.revise(
                post, event.previous_visibility, _occurred(event.envelope)
            )


class TellDeleted:
    """Tells readers about each post that is gone."""

    event = PostDeleted
    durable = "push-post-deleted"

    def __init__(self, *, announcer: Announcer) -> None:
        self._announcer = announcer

    async def handle(self, event: PostDeleted) -> None:
        change = removed(
            PostId(event.post_id),
            UserId(event.author_id),
            _occurred(event.envelope),
            event.envelope.aggregate_version,
        )
        await self._announcer.tell(change, event.visibility)


class ForgetDeleted:
    """Erases what is kept of a person who left."""

    event = UserDeleted
    durable = "push-user-deleted"

    def __init__(self, *, readers: Readers) -> None:
        self._readers = readers

    async def handle(self, event: UserDeleted) -> None:
        await self._readers.forget(UserId(event.user_id))


class EndSuspended:
    """Ends the streams of a person who was suspended."""

    event = UserSuspended
    durable = "push-user-suspended"

    def __init__(self, *, readers: Readers) -> None:
        self._readers = readers

    async def handle(self, event: UserSuspended) -> None:
        await self._readers.signal(UserId(event.user_id), SignalKind.ACCOUNT_ENDED)


class _TellsOfAuthors:
    """Consumers that tell readers of an author who left, or who is back."""

    def __init__(self, *, departures: Departures) -> None:
        self._departures = departures


class TellSuspended(_TellsOfAuthors):
    """Tells followers that an author is hidden."""

    event = UserSuspended
    durable = "push-author-suspended"

    async def handle(self, event: UserSuspended) -> None:
        await self._departures.hidden(_left(event.user_id, event.envelope))


class TellReinstated(_TellsOfAuthors):
    """Tells followers, as far as they were told of the suspension, that it ended."""

    event = UserReinstated
    durable = "push-author-reinstated"

    async def handle(self, event: UserReinstated) -> None:
        await self._departures.shown(_back(event.user_id, event.envelope))


class TellGone(_TellsOfAuthors):
    """Tells those who followed an author that the account is deleted."""

    event = UserDeleted
    durable = "push-author-deleted"

    async def handle(self, event: UserDeleted) -> None:
        await self._departures.gone(_left(event.user_id, event.envelope))


class TellBlocked(_TellsOfAuthors):
    """Tells who blocks; the other side's follow, if any, has an event of its own."""

    event = UserBlocked
    durable = "push-user-blocked"

    async def handle(self, event: UserBlocked) -> None:
        change = _left(event.blocked_id, event.envelope)
        await self._departures.left(UserId(event.blocker_id), change)


class TellMuted(_TellsOfAuthors):
    """Tells who mutes."""

    event = UserMuted
    durable = "push-user-muted"

    async def handle(self, event: UserMuted) -> None:
        change = _left(event.muted_id, event.envelope)
        await self._departures.left(UserId(event.muter_id), change)


class TellUnmuted(_TellsOfAuthors):
    """Tells who muted, and was told of it, that the posts are back."""

    event = UserUnmuted
    durable = "push-user-unmuted"

    async def handle(self, event: UserUnmuted) -> None:
        change = _back(event.muted_id, event.envelope)
        await self._departures.came_back(UserId(event.muter_id), change)


class TellFollowed:
    """Has a reader's process ask again whom they follow.

    And tells those who follow again whom they had left.
    """

    event = UserFollowed
    durable = "push-user-followed"

    def __init__(self, *, readers: Readers, departures: Departures) -> None:
        self._readers = readers
        self._departures = departures

    async def handle(self, event: UserFollowed) -> None:
        follower = UserId(event.follower_id)
        change = _back(event.followee_id, event.envelope)
        await self._departures.came_back(follower, change)
        await self._readers.signal(follower, SignalKind.FOLLOWS_CHANGED)


class TellUnfollowed:
    """As TellFollowed, and tells that the author left."""

    event = UserUnfollowed
    durable = "push-user-unfollowed"

    def __init__(self, *, readers: Readers, departures: Departures) -> None:
        self._readers = readers
        self._departures = departures

    async def handle(self, event: UserUnfollowed) -> None:
        follower = UserId(event.follower_id)
        change = _left(event.followee_id, event.envelope)
        await self._departures.left(follower, change)
        await self._readers.signal(follower, SignalKind.FOLLOWS_CHANGED)


def _left(author: int, envelope: EventEnvelope) -> Change:
    return author_removed(
        UserId(author), _occurred(envelope), envelope.aggregate_version
    )


def _back(author: int, envelope: EventEnvelope) -> Change:
    return author_returned(
        UserId(author), _occurred(envelope), envelope.aggregate_version
    )


def _occurred(envelope: EventEnvelope) -> datetime:
    return envelope.occurred_at.ToDatetime(UTC)
