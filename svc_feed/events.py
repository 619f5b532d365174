"""Consumers: what svc_feed does when posts and edges change.

Safe to repeat, all of them: adding what is there and removing what is not change
nothing, so a crash half-way through a large audience is cured by redelivery.
"""

from __future__ import annotations

from datetime import UTC

from feedmesh.feed.v1.events_pb2 import FanOutContinued, ReachMigrationContinued
from feedmesh.graph.v1.events_pb2 import (
    ReachChanged,
    UserBlocked,
    UserDeleted,
    UserFollowed,
    UserUnfollowed,
)
from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostPublished, PostUpdated
from feedmesh.ingest.v1.post_pb2 import VISIBILITY_PRIVATE

from .fan_out import FeedFanOut
from .follow_changes import FollowChanges
from .model import Entry, PostId, UserId
from .reach_migration import ReachMigration


class FanOut:
    """Places each published post in the feeds of its author's followers."""

    event = PostPublished
    durable = "feed-fan-out"

    def __init__(self, *, fan_out: FeedFanOut) -> None:
        self._fan_out = fan_out

    async def handle(self, event: PostPublished) -> None:
        await self._fan_out.place(
            Entry(PostId(event.post_id), UserId(event.author_id)),
            for_author_alone=event.visibility == VISIBILITY_PRIVATE,
        )


class FanOutFurther:
    """Places a post with more of its author's followers, part by part.

    Few at once: the parts of many large audiences take turns.
    """

    event = FanOutContinued
    durable = "feed-fan-out-continued"
    max_in_flight = 8

    def __init__(self, *, fan_out: FeedFanOut) -> None:
        self._fan_out = fan_out

    async def handle(self, event: FanOutContinued) -> None:
        await self._fan_out.go_on(
            Entry(PostId(event.post_id), UserId(event.author_id)),
            after=UserId(event.after_follower_id),
        )


class FanOutWidened:
    """Places a post that others may see now, in case they could not before.

    The event does not say what the visibility was. Placing a post again where it is
    changes nothing, and edits are rare.
    """

    event = PostUpdated
    durable = "feed-fan-out-updated"

    def __init__(self, *, fan_out: FeedFanOut) -> None:
        self._fan_out = fan_out

    async def handle(self, event: PostUpdated) -> None:
        if event.visibility != VISIBILITY_PRIVATE:
            await self._fan_out.place(
                Entry(PostId(event.post_id), UserId(event.author_id)),
                for_author_alone=False,
            )


class Withdraw:
    """Takes deleted posts out of the index."""

    event = PostDeleted
    durable = "feed-withdraw"

    def __init__(self, *, fan_out: FeedFanOut) -> None:
        self._fan_out = fan_out

    async def handle(self, event: PostDeleted) -> None:
        await self._fan_out.withdraw(
            Entry(PostId(event.post_id), UserId(event.author_id))
        )


class Backfill:
    """Fills in recent posts of people newly followed."""

    event = UserFollowed
    durable = "feed-backfill"

    def __init__(self, *, follows: FollowChanges) -> None:
        self._follows = follows

    async def handle(self, event: UserFollowed) -> None:
        await self._follows.follow(UserId(event.follower_id), UserId(event.followee_id))


class Unfollow:
    """Takes out posts of people no longer followed."""

    event = UserUnfollowed
    durable = "feed-unfollow"

    def __init__(self, *, follows: FollowChanges) -> None:
        self._follows = follows

    async def handle(self, event: UserUnfollowed) -> None:
        await self._follows.unfollow(
            UserId(event.follower_id),
            UserId(event.followee_id),
            at=event.envelope.occurred_at.ToDatetime(UTC),
        )


class Block:
    """Takes out each other's posts when one person blocks another."""

    event = UserBlocked
    durable = "feed-block"

    def __init__(self, *, follows: FollowChanges) -> None:
        self._follows = follows

    async def handle(self, event: UserBlocked) -> None:
        await self._follows.block(
            UserId(event.blocker_id),
            UserId(event.blocked_id),
            at=event.envelope.occurred_at.ToDatetime(UTC),
        )


class Erase:
    """Takes out what is held of people who deleted their account."""

    event = UserDeleted
    durable = "feed-erase"

    def __init__(self, *, follows: FollowChanges) -> None:
        self._follows = follows

    async def handle(self, event: UserDeleted) -> None:
        await self._follows.erase(UserId(event.user_id))


class ChangeReach:
    """Places what was not, when readers are to pull an author no more."""

    event = ReachChanged
    durable = "feed-reach"

    def __init__(self, *, migration: ReachMigration) -> None:
        self._migration = migration

    async def handle(self, event: ReachChanged) -> None:
        author, version = UserId(event.user_id), event.envelope.aggregate_version
        if event.is_celebrity:
            await self._migration.pulled(author, version)
            return
        since = event.pulled_since.ToDatetime(UTC)
        await self._migration.pushed(
            author,
            version,
            pulled_since=since if event.HasField("pulled_since") else None,
        )


class ChangeReachFurther:
    """Does so for more of the followers, page by page."""

    event = ReachMigrationContinued
    durable = "feed-reach-continued"

    def __init__(self, *, migration: ReachMigration) -> None:
        self._migration = migration

    async def handle(self, event: ReachMigrationContinued) -> None:
        await self._migration.go_on(
            UserId(event.user_id),
            event.reach_version,
            after=UserId(event.after_follower_id),
        )
