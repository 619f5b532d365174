"""Posts that are announced instead of fanned out, heard or missed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis import ids

from domain.visibility import Visibility
from svc_push.announcements import DEEP_EVERY
from svc_push.missed import POSTS_OF_EACH, ROUNDS, RecentPosts
from svc_push.model import EventKind, Kind, Position, PostId, UserId, added, removed
from tests.support.push import away
from tests.support.push_process import HEARTBEAT, Client, Process, World, running

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)


def world() -> World:
    """Ann follows Eve, whom everybody knows."""
    made = World()
    made.graph.follows = {(ANN, EVE)}
    made.graph.celebrities = {EVE}
    return made


def post(made: World, visibility: Visibility = Visibility.PUBLIC) -> PostId:
    """A post of Eve's that is stored now."""
    made.clock.advance(0.01)
    found = PostId(ids.floor_of(made.clock.now()))
    made.posts.add(found, EVE, visibility)
    return found


async def announce(
    process: Process, found: PostId, visibility: Visibility = Visibility.PUBLIC
) -> None:
    await process.announcer.tell(added(found, EVE), visibility)


async def beat(process: Process) -> None:
    """A heartbeat's time passes."""
    process.world.clock.advance(HEARTBEAT.total_seconds())
    await process.celebrities.learn()
    await process.announcements.check()
    await process.subscriptions.beat()


@asynccontextmanager
async def ann_at(process: Process) -> AsyncIterator[Client]:
    """Ann's stream, once her celebrities are known."""
    async with process.stream(ANN) as client:
        await client.next()
        await process.celebrities.learn()
        await process.announcements.check()
        yield client


async def next_post(client: Client) -> tuple[EventKind, int]:
    """The next event that is of a post."""
    while True:
        event = await client.next()
        if event.change is not None:
            return event.kind, int(event.change.post_id)


async def test_an_announced_post_reaches_followers_at_every_process() -> None:
    """Each process places it for those it holds; together once in each log."""
    made = world()
    async with (
        running(made, "a", "b", "worker") as (a, b, worker),
        ann_at(a) as here,
        ann_at(b) as there,
    ):
        first, second = post(made), post(made)
        await announce(worker, first)
        await announce(worker, second)

        assert await here.posts(2) == [first, second]
        assert await there.posts(2) == [first, second]


async def test_processes_listen_to_whom_their_readers_follow() -> None:
    """And to nobody any more when the last of those readers has left."""
    made = world()
    async with running(made, "a") as (a,):
        async with a.stream(BOB) as bob:
            await bob.next()
            await a.celebrities.learn()
            nobody = made.network.listeners(EVE)
            async with ann_at(a), ann_at(a):
                together = made.network.listeners(EVE)
        await a.celebrities.learn()

        assert (nobody, together, made.network.listeners(EVE)) == (0, 1, 0)


async def test_who_unfollowed_hears_nothing_more() -> None:
    """Announcements are filtered by the graph as it is, not as it was learned."""
    made = world()
    made.graph.follows.add((BOB, EVE))
    async with (
        running(made, "a") as (a,),
        ann_at(a) as ann,
        a.stream(BOB) as bob,
    ):
        await bob.next()
        await a.celebrities.learn()
        made.graph.follows.discard((ANN, EVE))
        await announce(a, post(made))
        await bob.posts(1)
        await a.subscriptions.beat()

        assert (await ann.next()).kind is EventKind.HEARTBEAT


async def test_who_follows_a_celebrity_hears_of_them_at_once() -> None:
    """The process that holds the reader is told to ask again."""
    made = world()
    async with running(made, "a", "b") as (a, b), a.stream(BOB) as bob:
        await bob.next()
        await a.celebrities.learn()
        made.graph.follows.add((BOB, EVE))
        a.celebrities.refresh(BOB)
        await a.celebrities.learn()
        found = post(made)
        await announce(b, found)

        assert await bob.posts(1) == [found]


async def test_friends_of_a_celebrity_hear_what_is_for_them() -> None:
    """And other followers do not; private posts nobody."""
    made = world()
    made.graph.follows |= {(BOB, EVE), (EVE, BOB)}
    async with running(made, "a") as (a,), ann_at(a) as ann, a.stream(BOB) as bob:
        await bob.next()
        await a.celebrities.learn()
        await announce(a, post(made, Visibility.PRIVATE), Visibility.PRIVATE)
        friends = post(made, Visibility.FRIENDS)
        await announce(a, friends, Visibility.FRIENDS)
        public = post(made)
        await announce(a, public)

        assert await ann.posts(1) == [public]
        assert await bob.posts(2) == [friends, public]


async def test_a_lost_announcement_is_made_good() -> None:
    """The next look finds the post; private ones stay so."""
    made = world()
    async with running(made, "a") as (a,), ann_at(a) as ann:
        found = post(made)
        post(made, Visibility.PRIVATE)
        await beat(a)

        assert await next_post(ann) == (EventKind.POST_ADDED, found)
        await beat(a)
        assert (await ann.next()).kind is EventKind.HEARTBEAT


async def test_a_look_that_failed_is_made_up_for() -> None:
    """The next one begins where the last good one ended."""
    made = world()
    async with running(made, "a") as (a,), ann_at(a) as ann:
        made.posts.failing = away()
        found = post(made)
        for _ in range(10):
            await beat(a)
        made.posts.failing = None
        await beat(a)

        assert await next_post(ann) == (EventKind.POST_ADDED, found)


async def test_a_deletion_that_was_not_heard_of_is_noticed() -> None:
    """The post was placed, and is there no more."""
    made = world()
    async with running(made, "a") as (a,), ann_at(a) as ann:
        found = post(made)
        await announce(a, found)
        await ann.posts(1)
        del made.posts.there[found]
        for _ in range(DEEP_EVERY):
            await beat(a)

        assert await next_post(ann) == (EventKind.POST_REMOVED, found)


async def test_an_announced_deletion_is_told() -> None:
    """At once, and not again by the look that would notice it."""
    made = world()
    async with running(made, "a") as (a,), ann_at(a) as ann:
        found = post(made)
        await announce(a, found)
        await ann.posts(1)
        del made.posts.there[found]
        gone = removed(found, EVE, made.clock.now())
        await a.announcer.tell(gone, Visibility.UNSPECIFIED)
        first = await next_post(ann)
        for _ in range(DEEP_EVERY):
            await beat(a)

        assert first == (EventKind.POST_REMOVED, found)
        assert (await ann.next()).kind is EventKind.HEARTBEAT


async def test_a_reader_who_was_away_is_told_what_they_missed() -> None:
    """Nobody hears announcements for them; the record is asked when they are back."""
    made = world()
    async with running(made, "a", "b") as (a, b):
        async with ann_at(a) as ann:
            before = post(made)
            await announce(a, before)
            last = await ann.next()
            await beat(a)
        made.clock.advance(600)
        missed = [post(made) for _ in range(3)]
        post(made, Visibility.PRIVATE)
        del made.posts.there[before]
        async with b.stream(ANN, last.position) as ann:
            start = await ann.next()
            await b.celebrities.learn()
            told = [await next_post(ann) for _ in range(4)]

    assert start.kind is EventKind.HEARTBEAT
    assert told == [
        *((EventKind.POST_ADDED, found) for found in missed),
        (EventKind.POST_REMOVED, before),
    ]


async def test_what_a_reader_is_owed_stays_due() -> None:
    """Peers that are away when a reader comes are asked again."""
    made = world()
    async with running(made, "a") as (a,):
        async with ann_at(a) as ann:
            await beat(a)
            last = await ann.next()
        made.clock.advance(600)
        found = post(made)
        async with a.stream(ANN, last.position) as ann:
            await ann.next()
            made.graph.failing = away()
            await beat(a)
            made.graph.failing, made.posts.failing = None, away()
            await beat(a)
            made.posts.failing = None
            await beat(a)

            assert await next_post(ann) == (EventKind.POST_ADDED, found)


async def test_a_peer_that_is_away_is_not_asked_without_end() -> None:
    """Readers who come meanwhile do not have all others asked for again."""
    made = world()
    async with running(made, "a") as (a,), a.stream(ANN) as ann, a.stream(BOB) as bob:
        await ann.next()
        made.graph.failing = away()
        await a.celebrities.learn()
        await bob.next()
        await a.celebrities.learn()

        assert made.graph.learned == [ANN, BOB]


async def test_a_private_post_that_goes_is_not_told_of() -> None:
    """Nobody but its author knows that it was there."""
    made = world()
    async with running(made, "a") as (a,), ann_at(a) as ann:
        private = post(made, Visibility.PRIVATE)
        await beat(a)
        del made.posts.there[private]
        for _ in range(DEEP_EVERY):
            await beat(a)
        public = post(made)
        await announce(a, public)

        assert await next_post(ann) == (EventKind.POST_ADDED, public)


async def test_what_was_made_good_is_watched_too() -> None:
    """A post that a reader was told when they came back may go as well."""
    made = world()
    async with running(made, "a", "b") as (a, b):
        async with ann_at(a) as ann:
            await beat(a)
            last = await ann.next()
        made.clock.advance(600)
        found = post(made)
        made.clock.advance(600)
        async with b.stream(ANN, last.position) as ann:
            await ann.next()
            await beat(b)
            first = await next_post(ann)
            del made.posts.there[found]
            for _ in range(DEEP_EVERY):
                await beat(b)

            assert first == (EventKind.POST_ADDED, found)
            assert await next_post(ann) == (EventKind.POST_REMOVED, found)


async def test_who_became_a_celebrity_is_noticed() -> None:
    """Posts between becoming one and being noticed are made good."""
    made = world()
    made.graph.celebrities.clear()
    async with running(made, "a") as (a,), ann_at(a) as ann:
        made.clock.advance(60)
        made.graph.celebrities = {EVE}
        found = post(made)
        for _ in range(20):
            await beat(a)

        assert await next_post(ann) == (EventKind.POST_ADDED, found)


async def test_a_post_that_took_long_to_commit_is_found() -> None:
    """Its id is older than the last look, which could not see it."""
    made = world()
    async with running(made, "a") as (a,), ann_at(a) as ann:
        late = PostId(ids.floor_of(made.clock.now()))
        made.clock.advance(5)
        await beat(a)
        made.posts.add(late, EVE)
        await beat(a)

        assert await next_post(ann) == (EventKind.POST_ADDED, late)


async def test_a_late_post_is_found_for_a_reader_who_was_away() -> None:
    """As for one who was there."""
    made = world()
    async with running(made, "a") as (a,):
        async with ann_at(a) as ann:
            late = PostId(ids.floor_of(made.clock.now()))
            made.clock.advance(5)
            await beat(a)
            last = await ann.next()
        made.posts.add(late, EVE)
        made.clock.advance(600)
        async with a.stream(ANN, last.position) as ann:
            await ann.next()
            await a.celebrities.learn()

            assert await next_post(ann) == (EventKind.POST_ADDED, late)


async def test_what_may_be_there_is_not_taken_for_gone() -> None:
    """Of an author who wrote too much meanwhile, not everything is asked for."""
    made = world()
    async with running(made, "a") as (a,):
        before = post(made)
        await made.logs.visit(ANN, checked_ms=None)
        await a.delivery.place([ANN], added(before, EVE))
        opened = await made.logs.visit(ANN, checked_ms=None)
        for _ in range((ROUNDS + 2) * POSTS_OF_EACH):
            post(made)
        await a.celebrities.make_good(ANN, opened)
        log = await made.logs.visit(ANN, checked_ms=None)
        after = Position(log.head.epoch, log.floor)
        entries = await made.logs.read(ANN, after=after, limit=log.size)

    assert entries is not None
    assert {entry.change.kind for entry in entries} == {Kind.POST_ADDED}


async def test_many_posts_are_asked_for_as_often_as_it_takes() -> None:
    """One answer holds so many of each author; what is older comes with the next."""
    made = world()
    missed = [post(made) for _ in range(2 * POSTS_OF_EACH + 5)]
    recent = RecentPosts(posts=made.posts)

    found, floor = await recent.since([EVE, BOB], PostId(missed[2] - 1))

    assert sorted(found) == missed[2:]
    assert floor == missed[2] - 1


async def test_too_many_posts_are_not_taken_for_all() -> None:
    """Below the id that the answer is complete from, nothing is judged to be gone."""
    made = world()
    missed = [post(made) for _ in range((ROUNDS + 2) * POSTS_OF_EACH)]
    recent = RecentPosts(posts=made.posts)

    found, floor = await recent.since([EVE], PostId(0))

    assert sorted(found) == missed[-(ROUNDS + 1) * POSTS_OF_EACH :]
    assert floor == min(found)


async def test_a_reader_who_polls_is_told_of_celebrities() -> None:
    """Looked for at most once a heartbeat, from where the last look ended."""
    made = world()
    async with running(made, "a") as (a,):
        start = await a.subscriptions.sync(ANN, None, 10)
        made.clock.advance(HEARTBEAT.total_seconds())
        found = post(made)
        made.graph.failing = away()
        failed = await a.subscriptions.sync(ANN, start.position, 10)
        made.graph.failing = None
        answer = await a.subscriptions.sync(ANN, start.position, 10)
        soon = await a.subscriptions.sync(ANN, answer.position, 10)

    assert failed.events == ()
    assert [event.change for event in answer.events] == [added(found, EVE)]
    assert soon.events == ()
