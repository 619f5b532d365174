"""What a client of a live stream, or one that polls, is given."""

import asyncio

from chassis.errors import PermissionDenied, ResourceExhausted, Unavailable
from chassis.testing import eventually, refuses

from svc_push.model import Change, EventKind, Hint, Position, PostId, UserId, added
from tests.support.push import away
from tests.support.push_process import Process, World, running

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)


async def place(process: Process, *posts: int, viewer: UserId = ANN) -> None:
    for post in posts:
        await process.delivery.place([viewer], added(PostId(post), EVE))


def following() -> World:
    """A world in which Ann follows Eve."""
    world = World()
    world.graph.follows.add((ANN, EVE))
    return world


async def test_a_fresh_stream_begins_with_where_the_log_stands() -> None:
    """The client has a position to resume from before anything happens."""
    async with running(World(), "a") as (a,), a.stream(ANN) as client:
        first = await client.next()
        await place(a, 1)
        second = await client.next()

    assert first.kind is EventKind.HEARTBEAT
    assert second.kind is EventKind.POST_ADDED
    assert second.position == Position(
        first.position.epoch, first.position.sequence + 1
    )


async def test_an_event_reaches_the_process_that_holds_the_reader() -> None:
    """Whichever process appends, the stream gets it, on each of its processes."""
    async with (
        running(World(), "a", "b", "worker") as (a, b, worker),
        a.stream(ANN) as here,
        b.stream(ANN) as there,
    ):
        await here.next()
        await there.next()
        await place(worker, 1, 2)

        assert await here.posts(2) == [1, 2]
        assert await there.posts(2) == [1, 2]


async def test_resuming_elsewhere_misses_and_repeats_nothing() -> None:
    """A position is good at every process, also for what happened meanwhile."""
    async with running(World(), "a", "b") as (a, b):
        async with a.stream(ANN) as client:
            await client.next()
            await place(a, 1, 2)
            await client.next()
            last = await client.next()
        await place(a, *range(3, 11))
        async with b.stream(ANN, last.position) as client:
            await place(a, 11)
            seen = await client.posts(9)

    assert seen == list(range(3, 12))


async def test_a_resume_without_news_says_so() -> None:
    """A client that has everything hears that the stream lives."""
    async with running(World(), "a") as (a,):
        async with a.stream(ANN) as client:
            first = await client.next()
        async with a.stream(ANN, first.position) as client:
            second = await client.next()

    assert (second.kind, second.position) == (EventKind.HEARTBEAT, first.position)


async def test_a_position_of_a_lost_log_is_answered_with_a_reset() -> None:
    """Events may have been lost with it: the client has to read its feed anew."""
    world = World()
    async with running(world, "a") as (a,):
        async with a.stream(ANN) as client:
            first = await client.next()
        world.logs.lose_all()
        async with a.stream(ANN, first.position) as client:
            second = await client.next()
            await place(a, 1)
            third = await client.next()

    assert second.kind is EventKind.RESET
    assert second.position.epoch != first.position.epoch
    assert third.kind is EventKind.POST_ADDED


async def test_a_position_too_far_back_is_answered_with_a_reset() -> None:
    """The log holds so many events and no more."""
    async with running(World(), "a") as (a,):
        async with a.stream(ANN) as client:
            first = await client.next()
        await place(a, *range(1, 23))
        async with a.stream(ANN, first.position) as client:
            second = await client.next()

    assert (second.kind, second.position.sequence) == (EventKind.RESET, 22)


async def test_a_lost_hint_is_made_good_by_the_next_event() -> None:
    """The gap it leaves is filled from the log before what follows is sent."""
    world = World()
    async with running(world, "a", "worker") as (a, worker), a.stream(ANN) as client:
        await client.next()
        world.network.is_losing = True
        await place(worker, 1, 2)
        world.network.is_losing = False
        await place(worker, 3)

        assert await client.posts(3) == [1, 2, 3]


async def test_a_lost_hint_is_made_good_by_the_heartbeat() -> None:
    """Even if nothing follows."""
    world = World()
    async with running(world, "a", "worker") as (a, worker), a.stream(ANN) as client:
        await client.next()
        world.network.is_losing = True
        await place(worker, 1)
        await a.subscriptions.beat()

        assert await client.posts(1) == [1]


async def test_a_log_lost_under_a_stream_is_told_by_the_heartbeat() -> None:
    """A live client hears of a gap too, not only one that resumes."""
    world = World()
    async with running(world, "a") as (a,), a.stream(ANN) as client:
        await client.next()
        world.logs.lose_all()
        await a.subscriptions.beat()
        event = await client.next()
        await place(a, 1)

        assert event.kind is EventKind.RESET
        assert await client.posts(1) == [1]


async def test_heartbeats_come_without_news() -> None:
    """They hold the position, and renew the mark that says who holds the reader."""
    world = World()
    async with running(world, "a") as (a,), a.stream(ANN) as client:
        first = await client.next()
        world.clock.advance(40)
        await a.subscriptions.beat()
        world.clock.advance(40)
        beat = await client.next()

        assert (beat.kind, beat.position) == (EventKind.HEARTBEAT, first.position)
        assert await world.logs.holders(ANN) == ["a"]


async def test_a_redelivered_change_is_sent_once() -> None:
    """The log knows it, and so does the stream."""
    async with running(World(), "a") as (a,), a.stream(ANN) as client:
        await client.next()
        await place(a, 1, 1, 2)

        assert await client.posts(2) == [1, 2]


async def test_a_slow_client_is_told_to_resume() -> None:
    """Its queue overflows; what it took so far it has, and goes on from there."""
    async with running(World(), "a") as (a,):
        async with a.stream(ANN) as client:
            await client.next()
            await place(a, 1)
            first = await client.next()
            await place(a, *range(2, 8))
            with refuses(Unavailable, "OVERLOADED"):
                await client.next()
        async with a.stream(ANN, first.position) as client:
            assert await client.posts(6) == list(range(2, 8))


async def test_a_slow_stream_takes_no_other_with_it() -> None:
    """The reader's other stream here goes on being told."""
    async with (
        running(World(), "a", "worker") as (a, worker),
        a.stream(ANN) as fast,
        a.stream(ANN) as slow,
    ):
        await fast.next()
        await slow.next()
        for post in range(1, 7):
            await place(worker, post)
            assert await fast.posts(1) == [post]
        with refuses(Unavailable, "OVERLOADED"):
            await slow.next()
        await slow.close()
        await place(worker, 7)

        assert await fast.posts(1) == [7]


async def test_a_stream_survives_an_engine_that_is_away() -> None:
    """Once it is back, the stream goes on where it was."""
    world = World()
    async with running(world, "a", "worker") as (a, worker), a.stream(ANN) as client:
        await client.next()
        world.network.is_losing = True
        await place(worker, 1)
        world.logs.failing = away()
        await a.subscriptions.beat()
        beat = await client.next()
        world.logs.failing = None
        await a.subscriptions.beat()

        assert beat.kind is EventKind.HEARTBEAT
        assert await client.posts(1) == [1]


async def test_a_gap_waits_for_an_engine_that_is_away() -> None:
    """It is filled when the engine is back; nothing after it is sent before."""
    world = World()
    async with running(world, "a", "worker") as (a, worker), a.stream(ANN) as client:
        first = await client.next()
        world.network.is_losing = True
        await place(worker, 1, 2)
        world.logs.failing = away()
        second = Position(first.position.epoch, 2)
        a.connections.offer(added(PostId(2), EVE), [Hint(ANN, second)])
        async with asyncio.TaskGroup() as group:
            posts = group.create_task(client.posts(2))
            await eventually(lambda: world.logs.refused > 0)
            world.logs.failing = None
            await a.subscriptions.beat()

        assert posts.result() == [1, 2]


async def test_leaving_needs_no_engine() -> None:
    """A mark that cannot be taken back is not renewed either."""
    world = World()
    async with running(world, "a") as (a,):
        async with a.stream(ANN) as client:
            await client.next()
            world.logs.failing = away()

        assert a.connections.count(ANN) == 0


async def test_no_stream_begins_without_its_log() -> None:
    """There would be no position to resume from."""
    world = World()
    async with running(world, "a") as (a,), a.stream(ANN) as client:
        world.logs.failing = away()
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await client.next()

        assert a.connections.count(ANN) == 0


async def test_streams_of_one_reader_are_limited() -> None:
    """Over all processes; one that ends makes room."""
    async with (
        running(World(), "a", "b") as (a, b),
        a.stream(ANN) as first,
        b.stream(BOB) as other,
    ):
        await first.next()
        await other.next()
        async with b.stream(ANN) as second, a.stream(ANN) as third:
            await second.next()
            with refuses(ResourceExhausted, "STREAM_LIMIT"):
                await third.next()
        async with a.stream(ANN) as fourth:
            await fourth.next()


async def test_a_drain_ends_streams_and_refuses_new_ones() -> None:
    """Clients resume at another process."""
    async with running(World(), "a", "b") as (a, b):
        async with a.stream(ANN) as client:
            first = await client.next()
            await a.subscriptions.drain()
            with refuses(Unavailable, "OVERLOADED"):
                await client.next()
        async with a.stream(ANN, first.position) as client:
            with refuses(Unavailable, "OVERLOADED"):
                await client.next()
        async with b.stream(ANN, first.position) as client:
            assert (await client.next()).kind is EventKind.HEARTBEAT


async def test_an_ended_account_ends_its_streams() -> None:
    """Of that person alone, wherever they are; their log is gone."""
    world = World()
    async with running(world, "a", "b") as (a, b):
        async with a.stream(ANN) as client, a.stream(BOB) as other:
            await client.next()
            await other.next()
            await b.readers.forget(ANN)
            with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
                await client.next()
            await place(b, 1, viewer=BOB)

            assert await other.posts(1) == [1]
        assert await world.logs.append([ANN], added(PostId(1), EVE)) == []


async def test_polling_without_a_position_tells_where_the_log_stands() -> None:
    """From then on the reader is logged for."""
    async with running(following(), "a") as (a,):
        first = await a.subscriptions.sync(ANN, None, 100)
        await place(a, 1)
        second = await a.subscriptions.sync(ANN, first.position, 100)

    assert (first.events, first.has_more) == ((), False)
    assert [event.change for event in second.events] == [added(PostId(1), EVE)]


async def test_polling_gives_every_event_once() -> None:
    """Positions join without gap or repeat; the last answer says so."""
    async with running(following(), "a") as (a,):
        position = (await a.subscriptions.sync(ANN, None, 2)).position
        await place(a, 1, 2, 3, 4, 5)
        seen: list[Change | None] = []
        more = True
        while more:
            answer = await a.subscriptions.sync(ANN, position, 2)
            seen += [event.change for event in answer.events]
            position, more = answer.position, answer.has_more
        last = await a.subscriptions.sync(ANN, position, 2)

    assert seen == [added(PostId(number), EVE) for number in range(1, 6)]
    assert (last.events, last.position) == ((), position)


async def test_polling_with_a_lost_position_is_answered_with_a_reset() -> None:
    """As on a stream; the answer's position goes on."""
    world = following()
    async with running(world, "a") as (a,):
        position = (await a.subscriptions.sync(ANN, None, 2)).position
        world.logs.lose_all()
        answer = await a.subscriptions.sync(ANN, position, 2)
        await place(a, 1)
        after = await a.subscriptions.sync(ANN, answer.position, 2)

    assert [event.kind for event in answer.events] == [EventKind.RESET]
    assert answer.events[0].position == answer.position
    assert [event.kind for event in after.events] == [EventKind.POST_ADDED]
