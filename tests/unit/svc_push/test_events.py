"""What events of other rooms do."""

from google.protobuf.timestamp_pb2 import Timestamp

from feedmesh.graph.v1.events_pb2 import (
    UserDeleted,
    UserFollowed,
    UserSuspended,
    UserUnfollowed,
)
from feedmesh.ingest.v1 import post_pb2
from feedmesh.ingest.v1.events_pb2 import PostDeleted, PostPublished, PostUpdated
from feedmesh.types.v1.types_pb2 import EventEnvelope

from chassis.errors import PermissionDenied
from chassis.testing import NOON, refuses

from domain.visibility import Visibility
from svc_push.events import (
    EndSuspended,
    ForgetDeleted,
    TellDeleted,
    TellFollowed,
    TellPublished,
    TellUnfollowed,
    TellUpdated,
)
from svc_push.model import Position, PostId, UserId, added, removed
from tests.support.push_process import Process, World, running

ANN, EVE = UserId(1), UserId(3)
POST = PostId(1 << 40)


async def logged(process: Process) -> list[object]:
    """All changes in Ann's log."""
    logs = process.world.logs
    opened = await logs.visit(ANN, checked_ms=None)
    after = Position(opened.head.epoch, opened.floor)
    entries = await logs.read(ANN, after=after, limit=99) or ()
    return [entry.change for entry in entries]


def following() -> World:
    world = World()
    world.graph.follows = {(ANN, EVE)}
    return world


async def test_posts_come_and_go_once_however_often_they_are_told() -> None:
    """Every consumer is safe to repeat."""
    at = Timestamp()
    at.FromDatetime(NOON)
    published = PostPublished(
        envelope=EventEnvelope(aggregate_version=1),
        post_id=POST,
        author_id=EVE,
        visibility=post_pb2.VISIBILITY_PUBLIC,
    )
    deleted = PostDeleted(
        envelope=EventEnvelope(occurred_at=at, aggregate_version=2),
        post_id=POST,
        author_id=EVE,
    )
    async with running(following(), "a") as (a,):
        await logged(a)
        for _ in range(2):
            await TellPublished(announcer=a.announcer).handle(published)
        for _ in range(2):
            await TellDeleted(announcer=a.announcer).handle(deleted)
        await TellPublished(announcer=a.announcer).handle(published)

        assert await logged(a) == [added(POST, EVE), removed(POST, EVE, NOON, 2)]


async def test_a_suspended_person_s_streams_end() -> None:
    """The log stays: they may be reinstated."""
    async with running(following(), "a", "b") as (a, b), a.stream(ANN) as client:
        first = await client.next()
        await EndSuspended(readers=b.readers).handle(UserSuspended(user_id=ANN))
        with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
            await client.next()
        opened = await a.world.logs.visit(ANN, checked_ms=None)

        assert opened.head == first.position


async def test_a_deleted_person_is_forgotten_again_and_again() -> None:
    """The second delivery finds nothing to do."""
    world = following()
    async with running(world, "a") as (a,):
        await logged(a)
        for _ in range(2):
            await ForgetDeleted(readers=a.readers).handle(UserDeleted(user_id=ANN))

        assert not await world.logs.anybody()


async def test_following_and_unfollowing_change_whom_is_listened_to() -> None:
    """At the process that holds the reader, whichever consumed the event."""
    world = following()
    world.graph.celebrities = {EVE}
    world.graph.follows.clear()
    async with running(world, "a", "b") as (a, b), a.stream(ANN) as client:
        await client.next()
        await a.celebrities.learn()
        counts = [world.network.listeners(EVE)]
        world.graph.follows.add((ANN, EVE))
        await TellFollowed(readers=b.readers, departures=b.departures).handle(
            UserFollowed(follower_id=ANN, followee_id=EVE)
        )
        await a.celebrities.learn()
        counts.append(world.network.listeners(EVE))
        world.graph.follows.clear()
        await TellUnfollowed(readers=b.readers, departures=b.departures).handle(
            UserUnfollowed(follower_id=ANN, followee_id=EVE)
        )
        await a.celebrities.learn()
        counts.append(world.network.listeners(EVE))

    assert counts == [0, 1, 0]


async def test_edits_are_told_as_the_post_is_now() -> None:
    """Whatever the order of their events: narrowed, and widened again."""
    world = following()
    world.posts.add(POST, EVE)
    world.posts.edit(POST, Visibility.PRIVATE)
    world.posts.edit(POST, Visibility.FOLLOWERS)
    narrowed = PostUpdated(
        post_id=POST,
        previous_visibility=post_pb2.VISIBILITY_PUBLIC,
        visibility=post_pb2.VISIBILITY_PRIVATE,
    )
    widened = PostUpdated(
        post_id=POST,
        previous_visibility=post_pb2.VISIBILITY_PRIVATE,
        visibility=post_pb2.VISIBILITY_FOLLOWERS,
    )
    async with running(world, "a") as (a,):
        await logged(a)
        await a.announcer.tell(added(POST, EVE), Visibility.PUBLIC)
        handler = TellUpdated(announcer=a.announcer, posts=world.posts)
        for event in (widened, narrowed, narrowed, widened):
            await handler.handle(event)

        assert await logged(a) == [added(POST, EVE)]


async def test_an_edit_of_the_text_alone_is_not_told() -> None:
    """Nor one of a post that is gone, which its deletion tells."""
    world = following()
    same = PostUpdated(
        post_id=POST,
        previous_visibility=post_pb2.VISIBILITY_FRIENDS,
        visibility=post_pb2.VISIBILITY_FRIENDS,
    )
    gone = PostUpdated(
        post_id=PostId(POST + 1),
        previous_visibility=post_pb2.VISIBILITY_PUBLIC,
        visibility=post_pb2.VISIBILITY_PRIVATE,
    )
    # As an older version published them.
    unknown = PostUpdated(post_id=POST, visibility=post_pb2.VISIBILITY_FRIENDS)
    world.posts.add(POST, EVE, Visibility.FRIENDS)
    async with running(world, "a") as (a,):
        await logged(a)
        for event in (same, gone, unknown):
            await TellUpdated(announcer=a.announcer, posts=world.posts).handle(event)

        assert await logged(a) == []
