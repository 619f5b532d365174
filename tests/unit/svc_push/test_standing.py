"""Streams end with the account, also when the event of it is lost."""

from chassis.errors import PermissionDenied, Unavailable
from chassis.testing import refuses

from domain.visibility import UserState
from svc_push.model import PostId, UserId, added
from tests.support.push import away
from tests.support.push_process import World, running

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)


async def test_streams_of_a_closed_account_end_by_the_next_look() -> None:
    """Those of others go on."""
    made = World()
    async with (
        running(made, "a") as (a,),
        a.stream(ANN) as ann,
        a.stream(BOB) as bob,
    ):
        await ann.next()
        await bob.next()
        made.graph.states[ANN] = UserState.SUSPENDED
        await a.standing.check()
        with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
            await ann.next()
        await a.delivery.place([BOB], added(PostId(1), EVE))

        assert await bob.posts(1) == [1]


async def test_nobody_is_taken_for_gone_while_the_graph_is_away() -> None:
    """What is not known ends no stream."""
    made = World()
    async with running(made, "a") as (a,), a.stream(ANN) as ann:
        await ann.next()
        made.graph.failing = away()
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await a.standing.check()
        await a.delivery.place([ANN], added(PostId(1), EVE))

        assert await ann.posts(1) == [1]
