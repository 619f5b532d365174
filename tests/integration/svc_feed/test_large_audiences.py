"""Large fan-outs on real engines: cut into parts, resumed, fair to others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from feedmesh.feed.v1.events_pb2 import FanOutContinued

from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.run import running
from chassis.testing import eventually

from domain.visibility import Relation
from svc_feed.wiring import assemble
from tests.support.feed import FeedRoom, feed_room

STAR, BEN = 101, 102
FOLLOWERS = range(1_000, 3_000)
PART = 100

HOLDERS = "SELECT count(*) FROM feed_entry WHERE post_id = $1"
FAIL_ABOVE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.viewer_id > %d AND NEW.author_id = %d THEN
        RAISE EXCEPTION 'not now' USING ERRCODE = '57P03';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON feed_entry
FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@asynccontextmanager
async def large(**settings: Any) -> AsyncIterator[tuple[FeedRoom, Pool]]:
    """A room whose star has twenty parts of followers, and its database.

    All of them read: else nothing would be placed for accounts that old.
    """
    async with (
        feed_room(fan_out_batch=PART, **settings) as room,
        open_pool(PostgresSettings(url=room.settings.database)) as database,
    ):
        for reader in FOLLOWERS:
            room.peers.edges[reader, STAR] = Relation(is_following=True)
        await database.execute(
            "INSERT INTO feed_reader (viewer_id, last_read_at)"
            " SELECT id, now() FROM generate_series(1, $1) AS id",
            FOLLOWERS[-1],
        )
        yield room, database


@asynccontextmanager
async def worker(room: FeedRoom) -> AsyncIterator[None]:
    """A process beside the room that handles events, and ends."""
    settings = room.settings.model_copy(update={"role": "worker"})
    async with assemble(settings) as app, running(app, settings):
        yield


async def holders(database: Pool, post_id: int) -> int:
    return int(await database.fetchval(HOLDERS, post_id))


async def until_held(database: Pool, post_id: int, count: int) -> None:
    async def check() -> None:
        assert await holders(database, post_id) == count

    # A part that failed comes again after seconds, by the ladder of retries.
    await eventually(check, timeout=60)


async def parts_told(database: Pool) -> Sequence[int]:
    """Where the parts began that were left to the outbox, in order."""
    rows = await database.fetch("SELECT payload FROM outbox ORDER BY id")
    return [FanOutContinued.FromString(row[0]).after_follower_id for row in rows]


async def test_every_follower_of_a_large_audience_has_the_post() -> None:
    """Part by part; each is told to the outbox once."""
    async with large() as (room, database):
        post_id = await room.post(STAR)

        await until_held(database, post_id, len(FOLLOWERS) + 1)
        ends = list(FOLLOWERS[PART - 1 :: PART])
        assert await parts_told(database) == ends


async def test_a_worker_that_dies_goes_on_where_it_was() -> None:
    """What was placed is neither read nor placed again, only the part at hand."""
    stop = FOLLOWERS[8 * PART - 1]
    async with large() as (room, database):
        # The database refuses the ninth part, as often as it comes.
        await database.execute(FAIL_ABOVE % (stop, STAR))
        post_id = await room.post(STAR)
        await until_held(database, post_id, 8 * PART + 1)
        before = await parts_told(database)
        asked = list(room.peers.streamed)

        await database.execute("DROP TRIGGER refuse ON feed_entry")

        await until_held(database, post_id, len(FOLLOWERS) + 1)
        after = room.peers.streamed[len(asked) :]
        assert before[-1] == stop
        assert min(after) == stop
        assert list(await parts_told(database)) == list(FOLLOWERS[PART - 1 :: PART])


async def test_another_process_goes_on_with_what_one_left() -> None:
    """The next part is in the outbox and on the bus, not in the worker."""
    async with large(role="rpc") as (room, database):
        await database.execute(FAIL_ABOVE % (FOLLOWERS[3 * PART - 1], STAR))
        async with worker(room):
            post_id = await room.post(STAR)
            await until_held(database, post_id, 3 * PART + 1)
        await database.execute("DROP TRIGGER refuse ON feed_entry")
        asked = len(room.peers.streamed)

        async with worker(room):
            await until_held(database, post_id, len(FOLLOWERS) + 1)

        assert min(room.peers.streamed[asked:]) >= FOLLOWERS[2 * PART - 1]


async def test_a_small_author_does_not_wait_for_a_large_audience() -> None:
    """Their followers have the post before the large audience is through."""
    async with large(fan_out_pages=1) as (room, database):
        room.peers.edges[1_000, BEN] = Relation(is_following=True)
        big = await room.post(STAR)
        small = await room.post(BEN)
        held: Mapping[str, int] = {}

        async def check() -> None:
            nonlocal held
            held = {
                "small": await holders(database, small),
                "big": await holders(database, big),
            }
            assert held["small"] == 2

        await eventually(check)
        assert held["big"] < len(FOLLOWERS) + 1
        await until_held(database, big, len(FOLLOWERS) + 1)
