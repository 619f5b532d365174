"""An author who comes to be pulled and ceases to be, while people post and read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from feedmesh.graph.v1.events_pb2 import ReachChanged

from chassis.ids import time_of
from chassis.testing import eventually

from tests.support.feed import FeedRoom, feed_room

STAR = 101
READERS = range(201, 205)
ROUNDS = 2
POSTS = 12

# A page that gives up would show less than there is.
PATIENT = {"graph_seconds": 5, "index_read_seconds": 5, "rebuild_seconds": 5}


class Reading:
    """One reader, who goes through all pages again and again."""

    def __init__(self, room: FeedRoom, reader: int) -> None:
        self._room = room
        self._reader = reader
        self.seen: set[int] = set()
        self.crawls = 0

    async def crawl(self) -> list[int]:
        """All pages once: none twice, and nothing gone that was there before."""
        before = set(self.seen)
        found: list[int] = []
        token = ""
        while True:
            page = await self._room.page(self._reader, size=7, token=token)
            found += [item.post.post_id for item in page.items]
            token = page.next_page_token
            if not token:
                break
        assert len(found) == len(set(found)), "a post was shown twice"
        assert before <= set(found), "a post was shown before and is gone"
        self.seen |= set(found)
        self.crawls += 1
        return found

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.crawl()


async def told(room: FeedRoom, event: ReachChanged, version: int) -> None:
    event.user_id = STAR
    event.envelope.aggregate_version = version
    await room.publish(event)


async def enter(room: FeedRoom, version: int) -> int:
    """Readers pull from now on, and for a while fan-out goes on: the moment."""
    at = room.ids.next()
    await room.log.append([f"u:{STAR}"])
    room.peers.celebrities.add(STAR)
    room.peers.fanned_out.add(STAR)
    await told(room, ReachChanged(is_celebrity=True), version)
    return at


async def leave(room: FeedRoom, version: int, since: int) -> None:
    """Fan-out goes on from now, and readers pull until all is placed."""
    room.peers.fanned_out.add(STAR)
    pulled_since = Timestamp()
    pulled_since.FromDatetime(time_of(since))
    await told(room, ReachChanged(pulled_since=pulled_since), version)


async def posts(
    room: FeedRoom, made: list[int], readings: Sequence[Reading] = ()
) -> None:
    """Some posts, during which everybody reads all pages at least once."""
    before = [reading.crawls for reading in readings]
    made += [await room.post(STAR) for _ in range(POSTS)]

    def have_read() -> None:
        pairs = zip(readings, before, strict=True)
        assert all(reading.crawls > crawls + 1 for reading, crawls in pairs)

    await eventually(have_read)


async def complete(room: FeedRoom, version: int) -> None:
    """Waits until svc_feed says that nobody need pull."""

    def is_said() -> None:
        assert (STAR, version) in room.peers.completed

    await eventually(is_said)


async def test_nobody_misses_or_doubles_a_post_while_the_reach_changes() -> None:
    """Up and down twice; readers go through all pages all the time."""
    async with feed_room(hot_window=100, **PATIENT) as room:
        for reader in READERS:
            await room.follow(reader, STAR)
        made: list[int] = []
        readings = [Reading(room, reader) for reader in READERS]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for reading in readings:
                group.create_task(reading.run(stop))
            for number in range(ROUNDS):
                await posts(room, made, readings)
                since = await enter(room, 10 * number + 1)
                await posts(room, made, readings)
                # The grace is over: all know whom they pull.
                room.peers.fanned_out.discard(STAR)
                await posts(room, made, readings)
                await leave(room, 10 * number + 2, since)
                await posts(room, made, readings)
                await complete(room, 10 * number + 2)
                assert STAR not in room.peers.celebrities
            stop.set()

        async def whole() -> None:
            for reading in readings:
                assert await reading.crawl() == made[::-1]

        await eventually(whole)


async def test_after_a_change_the_index_holds_what_was_pulled() -> None:
    """For readers who never came meanwhile as well: nothing is pulled any more."""
    async with feed_room(**PATIENT) as room:
        reader = room.ids.next()
        await room.follow(reader, STAR)
        since = await enter(room, 1)
        room.peers.fanned_out.discard(STAR)
        made = [await room.post(STAR) for _ in range(60)]

        async def handled() -> None:
            assert await room.ids_of(STAR, size=100) == made[::-1]

        await eventually(handled)
        await leave(room, 2, since)
        await complete(room, 2)

        async def whole() -> None:
            assert await room.ids_of(reader, size=100) == made[::-1]

        await eventually(whole)
