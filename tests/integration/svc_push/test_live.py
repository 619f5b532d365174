"""Live delivery through real NATS and Valkey, between processes, over gRPC."""

from contextlib import AsyncExitStack
from functools import partial

import pytest

from feedmesh.push.v1 import push_pb2

from chassis.errors import (
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from chassis.testing import eventually, refuses

from domain.visibility import Visibility
from tests.support.push_mesh import Mesh, push_mesh

ANN, BOB, EVE, ZOE = 1, 2, 3, 4
FOLLOWS = [(ANN, EVE), (BOB, EVE)]


async def test_a_post_reaches_followers_at_every_process() -> None:
    """Whichever process consumes the event, each follower's process tells them."""
    async with (
        push_mesh(processes=2, follows=FOLLOWS) as mesh,
        mesh.stream(ANN, process=0) as ann,
        mesh.stream(BOB, process=1) as bob,
        mesh.stream(ZOE, process=1) as zoe,
    ):
        first = [await stream.next() for stream in (ann, bob, zoe)]
        posts = [await mesh.publish(EVE) for _ in range(5)]
        own = await mesh.publish(ZOE)

        assert {event.WhichOneof("kind") for event in first} == {"heartbeat"}
        assert sorted(await ann.posts(5)) == posts
        assert sorted(await bob.posts(5)) == posts
        # Who follows nobody hears of their own posts alone.
        assert await zoe.posts(1) == [own]


async def test_an_event_tells_what_happened() -> None:
    """Ids, when, and a position one further on."""
    async with push_mesh(follows=FOLLOWS) as mesh, mesh.stream(ANN) as ann:
        start = await ann.next()
        post = await mesh.publish(EVE)
        added = await ann.next()
        await mesh.delete(post)
        removed = await ann.next()

        epoch, sequence = start.position.split(":")
        assert added.position == f"{epoch}:{int(sequence) + 1}"
        assert (added.post_added.post_id, added.post_added.author_id) == (post, EVE)
        assert removed.position == f"{epoch}:{int(sequence) + 2}"
        assert removed.post_removed.post_id == post
        assert removed.occurred_at.ToNanoseconds() > added.occurred_at.ToNanoseconds()


async def test_resuming_at_another_process_has_no_gap_and_no_repeat() -> None:
    """What happened in between is told first, and then what happens."""
    async with push_mesh(processes=2, follows=FOLLOWS) as mesh:
        async with mesh.stream(ANN, process=0) as ann:
            await ann.next()
            before = [await mesh.publish(EVE) for _ in range(3)]
            told = await ann.posts(2)
            last = await ann.next()
        between = [await mesh.publish(EVE) for _ in range(20)]
        async with mesh.stream(ANN, process=1, position=last.position) as ann:
            after = [await mesh.publish(EVE) for _ in range(3)]
            seen = await ann.posts(23)

    assert sorted([*told, last.post_added.post_id]) == before
    assert sorted(seen) == [*between, *after]


async def test_a_redelivered_event_is_told_once() -> None:
    """Delivery is at least once; the effect is exactly once."""
    async with push_mesh(processes=2, follows=FOLLOWS) as mesh, mesh.stream(ANN) as ann:
        await ann.next()
        first = await mesh.publish(EVE)
        seen = await ann.posts(1)
        await mesh.tell(first)
        await mesh.tell(first)
        second = await mesh.publish(EVE)

        assert seen + await ann.posts(1) == [first, second]


async def test_a_lost_log_is_told_by_a_reset() -> None:
    """A live stream hears of it by the next heartbeat, a resuming one at once."""
    async with push_mesh(processes=2, follows=FOLLOWS, heartbeat=0.2) as mesh:
        async with mesh.stream(ANN) as ann:
            start = await ann.next()
            await mesh.valkey.flushdb()
            reset = await ann.change()
            post = await mesh.publish(EVE)

            assert reset.WhichOneof("kind") == "reset"
            assert await ann.posts(1) == [post]
        async with mesh.stream(ANN, process=1, position=start.position) as ann:
            assert (await ann.next()).WhichOneof("kind") == "reset"


async def test_a_lost_hint_is_made_good_by_the_heartbeat() -> None:
    """Nothing but the log says that there is an event: the stream gets it."""
    async with (
        push_mesh(follows=FOLLOWS, heartbeat=1) as mesh,
        mesh.stream(ANN) as ann,
    ):
        await ann.next()
        # Where no process is known to hold the reader, none is hinted at.
        await mesh.valkey.hdel("online:{1}", *await mesh.holders(ANN))
        post = await mesh.publish(EVE)

        assert await ann.posts(1) == [post]


async def is_logged(mesh: Mesh, count: int) -> bool:
    """Whether Ann's log holds so many changes."""
    return bool(await mesh.valkey.hget("log:{1}", "seq") == b"%d" % count)


async def test_a_client_that_does_not_read_is_ended_in_order() -> None:
    """What it was sent has no gap; it is told to resume, not robbed of events."""
    async with push_mesh(follows=FOLLOWS, queue_events=4) as mesh:
        async with mesh.slow_stream(ANN) as ann:
            await ann.next()
            # One by one: what overtakes another is read from the log instead.
            for number in range(1, 101):
                await mesh.publish(EVE)
                await eventually(partial(is_logged, mesh, number))
            events: list[push_pb2.LiveEvent] = []
            with refuses(Unavailable, "OVERLOADED"):
                await ann.everything(events)
        async with mesh.stream(ANN, position=events[-1].position) as ann:
            events.append(await ann.change())

    sequences = [int(event.position.partition(":")[2]) for event in events]
    assert sequences == list(range(1, len(events) + 1))


async def test_a_stopped_process_hands_its_streams_over() -> None:
    """They end early, with a reason to come back; another process goes on."""
    async with push_mesh(follows=FOLLOWS) as mesh:
        async with AsyncExitStack() as stack:
            number = await stack.enter_async_context(mesh.one_more())
            async with mesh.slow_stream(ANN, process=number) as ann:
                await ann.next()
                first = await mesh.publish(EVE)
                last = await ann.next()
                await stack.aclose()
                with refuses(Unavailable, "OVERLOADED"):
                    await ann.next()
        second = await mesh.publish(EVE)
        async with mesh.stream(ANN, position=last.position) as ann:
            assert last.post_added.post_id == first
            assert await ann.posts(1) == [second]


async def test_private_posts_reach_their_author_alone() -> None:
    """And posts for friends those whom the author follows too."""
    follows = [*FOLLOWS, (EVE, BOB)]
    async with (
        push_mesh(follows=follows) as mesh,
        mesh.stream(ANN) as ann,
        mesh.stream(BOB) as bob,
        mesh.stream(EVE) as eve,
    ):
        for stream in (ann, bob, eve):
            await stream.next()
        private = await mesh.publish(EVE, Visibility.PRIVATE)
        assert await eve.posts(1) == [private]
        friends = await mesh.publish(EVE, Visibility.FRIENDS)
        assert await bob.posts(1) == [friends]
        public = await mesh.publish(EVE)

        assert await ann.posts(1) == [public]
        assert await bob.posts(1) == [public]


async def test_an_erased_person_is_forgotten() -> None:
    """Their streams end, and nothing of theirs is kept."""
    async with (
        push_mesh(processes=2) as mesh,
        mesh.stream(ANN, process=0) as ann,
        mesh.stream(ANN, process=1) as also,
    ):
        await ann.next()
        await also.next()
        await mesh.leave(ANN)

        for stream in (ann, also):
            with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
                await stream.next()

        async def is_forgotten() -> bool:
            return not await mesh.valkey.exists("log:{1}", "online:{1}")

        await eventually(is_forgotten)


async def test_polling_tells_the_same_as_a_stream() -> None:
    """Page by page, with a position to go on from."""
    async with push_mesh(follows=FOLLOWS) as mesh:
        start = await mesh.sync(ANN)
        posts = [await mesh.publish(EVE) for _ in range(3)]

        async def everything() -> list[int]:
            answer = await mesh.sync(ANN, start.position)
            found = [event.post_added.post_id for event in answer.events]
            assert sorted(found) == posts
            assert not answer.has_more
            return found

        in_order = await eventually(everything)
        first = await mesh.sync(ANN, start.position, 2)
        rest = await mesh.sync(ANN, first.position, 2)

        pages = [*first.events, *rest.events]
        assert [event.post_added.post_id for event in pages] == in_order
        assert (first.has_more, rest.has_more) == (True, False)
        assert rest.position == rest.events[-1].position


@pytest.mark.parametrize("position", ["x", "a:1\ndata: x", "A:1", "a:1" + "0" * 19])
async def test_a_malformed_position_is_refused(position: str) -> None:
    """On a stream and in a poll, before anything is looked at."""
    async with push_mesh() as mesh, mesh.stream(ANN, position=position) as ann:
        with pytest.raises(InvalidArgument):
            await ann.next()
        with pytest.raises(InvalidArgument):
            await mesh.sync(ANN, position)


async def test_nobody_streams_without_being_somebody() -> None:
    """There is no feed to tell of."""
    async with push_mesh() as mesh, mesh.stream(0) as stream:
        with refuses(Unauthenticated, "TOKEN_MISSING"):
            await stream.next()


async def test_streams_are_limited_over_processes() -> None:
    """The sixth is refused wherever it is asked for."""
    async with (
        push_mesh(processes=2, streams_per_user=2) as mesh,
        mesh.stream(ANN, process=0) as first,
        mesh.stream(ANN, process=1) as second,
    ):
        await first.next()
        await second.next()
        async with mesh.stream(ANN, process=0) as third:
            with refuses(ResourceExhausted, "STREAM_LIMIT"):
                await third.next()


async def test_a_celebrity_s_post_reaches_followers_at_every_process() -> None:
    """Announced once; each process that holds a follower hears it."""
    async with (
        push_mesh(processes=2, follows=FOLLOWS, celebrities=[EVE]) as mesh,
        mesh.stream(ANN, process=0) as ann,
        mesh.stream(BOB, process=1) as bob,
        mesh.stream(ZOE, process=1) as zoe,
    ):
        for stream in (ann, bob, zoe):
            await stream.next()
        await eventually(lambda: {*mesh.graph.learned} >= {ANN, BOB, ZOE})
        post = await mesh.publish(EVE)

        assert await ann.posts(1) == [post]
        assert await bob.posts(1) == [post]
        assert mesh.graph.asked == 0
        own = await mesh.publish(ZOE)
        assert await zoe.posts(1) == [own]


async def test_missed_posts_of_a_celebrity_are_made_good() -> None:
    """No event told of them: the heartbeat finds what is new, and what is gone."""
    async with (
        push_mesh(follows=FOLLOWS, celebrities=[EVE], heartbeat=0.2) as mesh,
        mesh.stream(ANN) as ann,
    ):
        await ann.next()
        post = mesh.post(EVE)
        mesh.post(EVE, Visibility.PRIVATE)
        assert await ann.posts(1) == [post]
        await mesh.delete(post, tell=False)

        assert (await ann.change()).post_removed.post_id == post
