"""Looking at whom a reader follows makes good what no event told them."""

from svc_push.model import EventKind, Kind, Position, UserId, author_removed
from tests.support.push import away
from tests.support.push_process import Process, World, running

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)


def world() -> World:
    """Ann follows Eve and Bob."""
    made = World()
    made.graph.follows = {(ANN, EVE), (ANN, BOB)}
    made.graph.version = 5
    return made


async def kinds(process: Process) -> list[tuple[Kind, UserId]]:
    """What Ann's log holds."""
    logs = process.world.logs
    opened = await logs.visit(ANN, checked_ms=None)
    after = Position(opened.head.epoch, opened.floor)
    entries = await logs.read(ANN, after=after, limit=99) or ()
    return [(entry.change.kind, entry.change.author_id) for entry in entries]


async def test_who_was_away_hears_who_is_gone_meanwhile() -> None:
    """The account is deleted, and the graph has forgotten that it was followed."""
    made = world()
    async with running(made, "a", "b") as (a, b):
        async with a.stream(ANN) as client:
            first = await client.next()
            await a.celebrities.learn()
        made.graph.follows.discard((ANN, EVE))
        async with b.stream(ANN, first.position) as client:
            await client.next()
            await b.celebrities.learn()
            event = await client.next()
            await b.celebrities.learn()

            assert event.kind is EventKind.AUTHOR_REMOVED
            assert await kinds(b) == [(Kind.AUTHOR_REMOVED, EVE)]


async def test_who_polls_hears_of_it_by_the_next_look() -> None:
    """No process holds them, and so none is told."""
    made = world()
    async with running(made, "a") as (a,):
        start = await a.subscriptions.sync(ANN, None, 10)
        made.clock.advance(15)
        await a.subscriptions.sync(ANN, start.position, 10)
        made.graph.follows.discard((ANN, EVE))
        made.clock.advance(15)
        answer = await a.subscriptions.sync(ANN, start.position, 10)

        assert [event.kind for event in answer.events] == [EventKind.AUTHOR_REMOVED]


async def test_a_mute_that_ran_out_is_noticed() -> None:
    """No event tells of it: the reader is told to read anew."""
    made = world()
    made.graph.mutes = {(ANN, EVE)}
    async with running(made, "a") as (a,), a.stream(ANN) as client:
        await client.next()
        await a.celebrities.learn()
        await a.departures.left(ANN, author_removed(EVE, made.clock.now(), 5))
        first = await client.next()
        made.graph.mutes.clear()
        a.celebrities.refresh(ANN)
        await a.celebrities.learn()
        second = await client.next()

        assert first.kind is EventKind.AUTHOR_REMOVED
        assert second.kind is EventKind.RESET


async def test_what_changed_while_it_was_looked_at_is_asked_for_again() -> None:
    """Two processes look at one reader: the older list may be noted last."""
    made = world()
    async with running(made, "a") as (a,):
        opened = await made.logs.visit(ANN, checked_ms=None)
        await made.logs.note_followed(ANN, [EVE, BOB])
        made.graph.follows.clear()
        made.graph.on_relations = lambda: made.graph.follows.add((ANN, EVE))
        await a.celebrities.make_good(ANN, opened)

        assert await kinds(a) == [(Kind.AUTHOR_REMOVED, BOB)]


async def test_a_look_that_failed_is_made_up_for() -> None:
    """What was noted before is compared when the graph is back."""
    made = world()
    async with running(made, "a") as (a,), a.stream(ANN) as client:
        await client.next()
        await a.celebrities.learn()
        made.graph.follows.discard((ANN, EVE))
        made.graph.failing = away()
        a.celebrities.refresh(ANN)
        await a.celebrities.learn()
        made.graph.failing = None
        a.celebrities.refresh(ANN)
        await a.celebrities.learn()

        assert (await client.next()).kind is EventKind.AUTHOR_REMOVED
