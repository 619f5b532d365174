"""Who is told that an author left their feed, or is back in it."""

import pytest

from feedmesh.graph.v1 import events_pb2
from feedmesh.types.v1.types_pb2 import EventEnvelope

from chassis.testing import NOON

from domain.visibility import UserState, Visibility
from svc_push import events
from svc_push.model import (
    Change,
    Position,
    PostId,
    UserId,
    added,
    author_removed,
    author_returned,
)
from tests.support.push import away
from tests.support.push_process import Process, World, running

ANN, BOB, EVE, ZOE = UserId(1), UserId(2), UserId(3), UserId(4)
LEFT, BACK = author_removed(EVE, NOON, 5), author_returned(EVE, NOON, 6)


def world() -> World:
    """Ann and Bob follow Eve; Zoe follows nobody. All are online."""
    made = World()
    made.graph.follows = {(ANN, EVE), (BOB, EVE)}
    return made


async def online(process: Process) -> None:
    for viewer in (ANN, BOB, EVE, ZOE):
        await process.world.logs.visit(viewer, checked_ms=None)


async def log_of(process: Process, viewer: UserId) -> list[Change]:
    """All that a reader's log holds."""
    logs = process.world.logs
    opened = await logs.visit(viewer, checked_ms=None)
    after = Position(opened.head.epoch, opened.floor)
    entries = await logs.read(viewer, after=after, limit=99) or ()
    return [entry.change for entry in entries]


async def told(process: Process, change: Change) -> list[UserId]:
    """Whose logs hold a change."""
    viewers = (ANN, BOB, EVE, ZOE)
    return [who for who in viewers if change in await log_of(process, who)]


def envelope(version: int) -> EventEnvelope:
    made = EventEnvelope(aggregate_version=version)
    made.occurred_at.FromDatetime(NOON)
    return made


async def test_who_unfollowed_is_told_and_nobody_else() -> None:
    """Their other devices have the posts on the screen."""
    made = world()
    async with running(made, "a") as (a,):
        await online(a)
        made.graph.follows.discard((ANN, EVE))
        handler = events.TellUnfollowed(readers=a.readers, departures=a.departures)
        event = events_pb2.UserUnfollowed(
            envelope=envelope(5), follower_id=ANN, followee_id=EVE
        )
        await handler.handle(event)
        await handler.handle(event)

        assert await told(a, LEFT) == [ANN]
        assert await log_of(a, ANN) == [LEFT]


async def test_who_follows_again_by_now_is_told_nothing() -> None:
    """The event comes late: what it says is not true any more."""
    made = world()
    async with running(made, "a") as (a,):
        await online(a)
        await a.departures.left(ANN, LEFT)

        assert await log_of(a, ANN) == []


async def test_who_was_told_that_an_author_left_is_told_of_the_return() -> None:
    """Others would read their feed anew for nothing."""
    made = world()
    async with running(made, "a") as (a,):
        await online(a)
        made.graph.follows.discard((ANN, EVE))
        await a.departures.left(ANN, LEFT)
        made.graph.follows.add((ANN, EVE))
        handler = events.TellFollowed(readers=a.readers, departures=a.departures)
        for follower in (ANN, BOB):
            await handler.handle(
                events_pb2.UserFollowed(
                    envelope=envelope(6), follower_id=follower, followee_id=EVE
                )
            )

        assert await log_of(a, ANN) == [LEFT, BACK]
        assert await log_of(a, BOB) == []


async def test_a_follow_that_has_ended_again_is_no_return() -> None:
    """Its event comes after that of the end."""
    made = world()
    async with running(made, "a") as (a,):
        await online(a)
        made.graph.follows.discard((ANN, EVE))
        await a.departures.left(ANN, LEFT)
        await a.departures.came_back(ANN, BACK)

        assert await log_of(a, ANN) == [LEFT]


async def test_a_follow_of_somebody_muted_brings_nothing_back() -> None:
    """The mute still hides what they write."""
    made = world()
    made.graph.mutes = {(ANN, EVE)}
    async with running(made, "a") as (a,):
        await online(a)
        await a.departures.left(ANN, LEFT)
        await a.departures.came_back(ANN, BACK)

        assert await log_of(a, ANN) == [LEFT]


async def test_a_mute_is_told_to_who_mutes_and_so_is_its_end() -> None:
    """While it stands, nothing of the author comes."""
    made = world()
    async with running(made, "a") as (a,):
        await online(a)
        made.graph.mutes = {(ANN, EVE)}
        await events.TellMuted(departures=a.departures).handle(
            events_pb2.UserMuted(envelope=envelope(5), muter_id=ANN, muted_id=EVE)
        )
        await a.announcer.tell(added(PostId(1), EVE), Visibility.PUBLIC)
        made.graph.mutes.clear()
        await events.TellUnmuted(departures=a.departures).handle(
            events_pb2.UserUnmuted(envelope=envelope(6), muter_id=ANN, muted_id=EVE)
        )

        assert await log_of(a, ANN) == [LEFT, BACK]
        assert await told(a, LEFT) == [ANN]


async def test_a_block_is_told_to_who_blocks() -> None:
    """Whoever is blocked does not hear of a block, only of the end of a follow."""
    made = world()
    made.graph.follows.discard((ANN, EVE))
    made.graph.blocks = {(ANN, EVE)}
    async with running(made, "a") as (a,):
        await online(a)
        handler = events.TellBlocked(departures=a.departures)
        event = events_pb2.UserBlocked(
            envelope=envelope(5), blocker_id=ANN, blocked_id=EVE
        )
        await handler.handle(event)
        await handler.handle(event)

        assert await told(a, LEFT) == [ANN]
        assert await log_of(a, EVE) == []


@pytest.mark.parametrize("is_celebrity", [False, True])
async def test_a_suspension_is_told_to_all_followers(*, is_celebrity: bool) -> None:
    """Also those of a celebrity who are away: no announcement would reach them."""
    made = world()
    made.graph.celebrities = {EVE} if is_celebrity else set()
    async with running(made, "a") as (a,):
        await online(a)
        made.graph.states[EVE] = UserState.SUSPENDED
        suspended = events_pb2.UserSuspended(envelope=envelope(5), user_id=EVE)
        await events.TellSuspended(departures=a.departures).handle(suspended)
        after_suspension = await told(a, LEFT)
        del made.graph.states[EVE]
        await events.TellReinstated(departures=a.departures).handle(
            events_pb2.UserReinstated(envelope=envelope(6), user_id=EVE)
        )
        # Delivered again, when it is over.
        await events.TellSuspended(departures=a.departures).handle(suspended)

        assert after_suspension == [ANN, BOB]
        assert await log_of(a, ANN) == [LEFT, BACK]
        assert await told(a, BACK) == [ANN, BOB]


async def test_a_suspension_that_is_over_is_not_told() -> None:
    """Its event comes late: the author may be seen again."""
    made = world()
    async with running(made, "a") as (a,):
        await online(a)
        await a.departures.hidden(LEFT)

        assert await told(a, LEFT) == []


async def test_a_reinstatement_that_is_over_is_not_told() -> None:
    """Suspended once more meanwhile."""
    made = world()
    made.graph.states[EVE] = UserState.SUSPENDED
    async with running(made, "a") as (a,):
        await online(a)
        await a.departures.hidden(LEFT)
        await a.departures.shown(BACK)

        assert await log_of(a, ANN) == [LEFT]


async def test_a_deleted_account_is_told_to_whom_it_was_followed_by() -> None:
    """The graph has forgotten the follows: each process remembers its readers'."""
    made = world()
    async with (
        running(made, "a", "b", "worker") as (a, b, worker),
        a.stream(ANN) as ann,
        b.stream(BOB) as bob,
        b.stream(ZOE) as zoe,
    ):
        for client in (ann, bob, zoe):
            await client.next()
        await a.celebrities.learn()
        await b.celebrities.learn()
        made.graph.follows.clear()
        made.graph.states[EVE] = UserState.DELETED
        event = events_pb2.UserDeleted(envelope=envelope(5), user_id=EVE)
        await events.TellGone(departures=worker.departures).handle(event)
        await events.TellGone(departures=worker.departures).handle(event)

        assert await log_of(a, ANN) == [LEFT]
        assert await log_of(b, BOB) == [LEFT]
        assert await log_of(b, ZOE) == []


async def test_where_nobody_is_online_the_graph_is_not_asked() -> None:
    """Most changes of an import have no live reader at all."""
    made = world()
    made.graph.failing = away()
    async with running(made, "a") as (a,):
        await a.departures.left(ANN, LEFT)
        await a.departures.came_back(ANN, BACK)
        await a.departures.gone(LEFT)

        assert made.network.sent == 0
