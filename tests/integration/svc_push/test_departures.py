"""What leaves a feed, told live: through real NATS and Valkey, over gRPC."""

from feedmesh.graph.v1.events_pb2 import (
    UserFollowed,
    UserMuted,
    UserReinstated,
    UserSuspended,
    UserUnfollowed,
    UserUnmuted,
)
from feedmesh.push.v1 import push_pb2

from chassis.errors import PermissionDenied
from chassis.testing import eventually, refuses

from domain.visibility import UserState, Visibility
from svc_push.model import UserId
from tests.support.push_mesh import LiveStream, push_mesh

ANN, BOB, EVE, ZOE = 1, 2, 3, 4
FOLLOWS = [(ANN, EVE), (BOB, EVE)]
EDGE = (UserId(ANN), UserId(EVE))


def said(event: push_pb2.LiveEvent) -> tuple[str, int]:
    """What an event says, and of which post or author."""
    kind = event.WhichOneof("kind") or ""
    body = getattr(event, kind)
    return kind, getattr(body, "post_id", 0) or getattr(body, "author_id", 0)


async def changes(stream: LiveStream, count: int) -> list[tuple[str, int]]:
    return [said(await stream.change()) for _ in range(count)]


async def test_an_unfollow_takes_the_author_s_posts_away() -> None:
    """Told once however often it is delivered; a follow afterwards reads anew."""
    async with push_mesh(processes=2, follows=FOLLOWS) as mesh:
        async with mesh.stream(ANN) as ann, mesh.stream(BOB, process=1) as bob:
            start = await ann.next()
            await bob.next()
            first = await mesh.publish(EVE)
            live = await changes(ann, 1)
            mesh.graph.follows.discard(EDGE)
            ended = UserUnfollowed(follower_id=ANN, followee_id=EVE)
            await mesh.changed(ended)
            live += await changes(ann, 1)
            await mesh.emit(ended, version=mesh.graph.version)
            mesh.graph.follows.add(EDGE)
            await mesh.changed(UserFollowed(follower_id=ANN, followee_id=EVE))
            live += await changes(ann, 1)
            second = await mesh.publish(EVE)
            live += await changes(ann, 1)

            assert await bob.posts(2) == [first, second]
        async with mesh.stream(ANN, process=1, position=start.position) as ann:
            resumed = await changes(ann, 4)
        polled = await mesh.sync(ANN, start.position)

    assert live == [
        ("post_added", first),
        ("author_removed", EVE),
        ("reset", 0),
        ("post_added", second),
    ]
    assert resumed == live
    assert [said(event) for event in polled.events] == live


async def test_a_mute_hides_until_it_ends() -> None:
    """What is published meanwhile does not come; then the feed is read anew."""
    async with push_mesh(follows=FOLLOWS) as mesh, mesh.stream(ANN) as ann:
        await ann.next()
        mesh.graph.mutes.add(EDGE)
        await mesh.changed(UserMuted(muter_id=ANN, muted_id=EVE))
        removed = await changes(ann, 1)
        async with mesh.stream(BOB) as bob:
            await bob.next()
            hidden = await mesh.publish(EVE)
            assert await bob.posts(1) == [hidden]
        mesh.graph.mutes.clear()
        await mesh.changed(UserUnmuted(muter_id=ANN, muted_id=EVE))

        assert removed == [("author_removed", EVE)]
        assert await changes(ann, 1) == [("reset", 0)]


async def test_a_suspension_reaches_followers_and_ends_own_streams() -> None:
    """Also those of a celebrity; the end of it is told to read anew."""
    async with (
        push_mesh(processes=2, follows=FOLLOWS, celebrities=[EVE]) as mesh,
        mesh.stream(ANN) as ann,
        mesh.stream(EVE, process=1) as eve,
    ):
        await ann.next()
        await eve.next()
        mesh.graph.states[UserId(EVE)] = UserState.SUSPENDED
        await mesh.changed(UserSuspended(user_id=EVE))
        told = await changes(ann, 1)
        with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
            await eve.change()
        mesh.graph.states.clear()
        await mesh.changed(UserReinstated(user_id=EVE))

        assert told == [("author_removed", EVE)]
        assert await changes(ann, 1) == [("reset", 0)]


async def test_a_deleted_account_is_told_to_who_followed_it() -> None:
    """At each process, and to who was away when they are back."""
    async with push_mesh(processes=2, follows=[*FOLLOWS, (ZOE, EVE)]) as mesh:
        async with mesh.stream(ZOE) as zoe:
            last = await zoe.next()
            await eventually(lambda: ZOE in mesh.graph.learned)
            # Noted beside the log: who follows whom is forgotten with the account.
            await eventually(lambda: mesh.valkey.exists("follows:{4}"))
        async with mesh.stream(ANN) as ann, mesh.stream(BOB, process=1) as bob:
            await ann.next()
            await bob.next()
            await eventually(lambda: mesh.valkey.exists("follows:{1}"))
            await eventually(lambda: mesh.valkey.exists("follows:{2}"))
            first = await mesh.publish(EVE)
            assert await ann.posts(1) == await bob.posts(1) == [first]
            await mesh.leave(EVE)

            assert await changes(ann, 1) == [("author_removed", EVE)]
            assert await changes(bob, 1) == [("author_removed", EVE)]
        async with mesh.stream(ZOE, process=1, position=last.position) as zoe:
            # At its place in the log, as it is now: nobody may see the post any more.
            assert await changes(zoe, 2) == [
                ("post_removed", first),
                ("author_removed", EVE),
            ]


async def test_a_narrowed_post_leaves_and_comes_back() -> None:
    """For those alone whom the edit concerns, in order, also on resuming."""
    follows = [*FOLLOWS, (EVE, BOB)]
    async with push_mesh(follows=follows) as mesh:
        async with mesh.stream(ANN) as ann, mesh.stream(BOB) as bob:
            start = await ann.next()
            await bob.next()
            post = await mesh.publish(EVE)
            live = await changes(ann, 1)
            await mesh.edit(post, Visibility.FRIENDS)
            live += await changes(ann, 1)
            await mesh.edit(post, Visibility.FOLLOWERS)
            live += await changes(ann, 1)
            await mesh.edit(post, Visibility.PRIVATE)
            live += await changes(ann, 1)

            assert await changes(bob, 2) == [
                ("post_added", post),
                ("post_removed", post),
            ]
        async with mesh.stream(ANN, position=start.position) as ann:
            resumed = await changes(ann, 4)

    assert live == [
        ("post_added", post),
        ("post_removed", post),
        ("post_added", post),
        ("post_removed", post),
    ]
    assert resumed == live


async def test_a_stream_ends_although_no_event_told_of_the_suspension() -> None:
    """The graph is asked again and again."""
    async with (
        push_mesh(standing_check=0.2) as mesh,
        mesh.stream(ANN) as ann,
    ):
        await ann.next()
        mesh.graph.states[UserId(ANN)] = UserState.SUSPENDED
        with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
            await ann.next()
