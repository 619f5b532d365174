"""P3: entries a second of fan-out, hot feeds and durable index together.

svc_feed's own classes, put together as in its wiring, on engines of their own. The
followers come from memory, in the pages that svc_graph sends: reading them is its work.
The ceiling writes the same rows to the same kind of table, by unnest alone.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from prometheus_client import CollectorRegistry

from chassis import ids, migrate
from chassis.clock import SystemClock
from chassis.embedded.engines import Engines, Ports, open_engines
from chassis.metrics import Metrics
from chassis.outbox import Outbox
from chassis.postgres import PostgresSettings
from chassis.shards import open_shards
from chassis.valkey import Valkey, ValkeySettings, open_valkey

from bench.load import drive
from bench.results import Line, Rounds, load_average
from bench.shared import Run
from svc_feed.doubt import DoubtedHotFeeds
from svc_feed.fan_out import FeedFanOut
from svc_feed.hot import HotTag, ValkeyHotFeeds
from svc_feed.meters import FanOutMeters
from svc_feed.model import (
    BELOW_ALL,
    Entry,
    Followee,
    Hot,
    PostId,
    Reach,
    Relations,
    UserId,
)
from svc_feed.settings import FeedSettings
from svc_feed.store import PostgresFeedIndex, PostgresGenerations
from svc_feed.store_audience import Audience
from svc_feed.store_parts import PostgresContinuations
from svc_feed.wiring import BULK_SECONDS

GOAL = 0.6
FOLLOWERS = 8_000
PAGE = 1_000
# Events under way: enough that one is being read while another is written.
POSTS_IN_FLIGHT = 4
# Entries that hot feeds hold before; they are trimmed at twice 500.
FILLED = 300

UNNEST = """
INSERT INTO feed_entry (viewer_id, post_id, author_id)
SELECT viewer_id, $2, $3 FROM unnest($1::bigint[]) AS viewer_id
"""

# All viewers read lately, as those do whose hot feeds there are.
READ = """
INSERT INTO feed_reader (viewer_id, last_read_at)
SELECT viewer_id, now() FROM unnest($1::bigint[]) AS viewer_id
"""


class Followers:
    """Graph, as far as fan-out asks it: one author and 8,000 followers."""

    def __init__(self, *, pages: Sequence[list[UserId]]) -> None:
        self._pages = pages

    async def reach(self, author: UserId) -> Reach:
        return Reach(
            sum(map(len, self._pages)),
            is_celebrity=False,
            is_fanned_out=True,
            following_count=0,
        )

    async def followers(
        self, author: UserId, *, after: UserId
    ) -> AsyncGenerator[list[UserId]]:
        for page in self._pages:
            if page[0] > after:
                yield page

    async def relations(self, viewer: UserId, ids: Sequence[UserId]) -> Relations:
        raise NotImplementedError("fan-out asks for no relations")

    async def followed_celebrities(self, viewer: UserId) -> frozenset[UserId]:
        raise NotImplementedError("fan-out asks for no celebrities")

    async def followee(self, viewer: UserId, author: UserId) -> Followee | None:
        raise NotImplementedError("fan-out asks for no single edge")

    def following(self, viewer: UserId) -> AsyncIterator[list[Followee]]:
        raise NotImplementedError("fan-out asks not whom its readers follow")

    async def complete_reach_change(self, author: UserId, version: int) -> bool:
        raise NotImplementedError("fan-out changes no reach")


class Left:
    """Continuations in the outbox of the bench, and handed on at once: the way over
    the bus is not what is measured."""

    def __init__(self, *, outbox: PostgresContinuations) -> None:
        self._outbox = outbox
        self._left: dict[Entry, UserId] = {}

    async def fan_out(self, entry: Entry, *, after: UserId) -> None:
        await self._outbox.fan_out(entry, after=after)
        self._left[entry] = after

    def take(self, entry: Entry) -> UserId | None:
        return self._left.pop(entry, None)


async def fan_out(run: Run) -> list[Line]:
    with (
        TemporaryDirectory(prefix="fan-out-", dir=run.folder) as folder,
        ExitStack() as engines,
    ):
        started = await asyncio.to_thread(
            engines.enter_context,
            open_engines(Path(folder), Ports.free(), only=("postgres", "valkey")),
        )
        try:
            return [await _measured(run, started)]
        finally:
            await asyncio.to_thread(engines.close)


async def _measured(run: Run, engines: Engines) -> Line:
    posts = run.extent(40, 8)
    allot = ids.Ids(clock=SystemClock(), node=1)
    viewers = [UserId(allot.next()) for _ in range(FOLLOWERS)]
    author = UserId(allot.next())
    pages = [viewers[at : at + PAGE] for at in range(0, FOLLOWERS, PAGE)]
    async with AsyncExitStack() as stack:
        ours, left, generations = await _ours(stack, engines, pages)
        raw = await _ceiling(stack, engines)

        async def place(_: int) -> None:
            entry = Entry(PostId(allot.next()), author)
            await ours.place(entry, for_author_alone=False)
            while (after := left.take(entry)) is not None:
                await ours.go_on(entry, after=after)

        async def unnest(_: int) -> None:
            post = allot.next()
            for page in pages:
                await raw.execute(UNNEST, page, post, author)

        await drive(place, calls=POSTS_IN_FLIGHT, in_flight=POSTS_IN_FLIGHT)
        await drive(unnest, calls=POSTS_IN_FLIGHT, in_flight=POSTS_IN_FLIGHT)
        load = load_average()
        mine: list[float] = []
        its: list[float] = []
        for _ in range(run.rounds):
            driven = await drive(place, calls=posts, in_flight=POSTS_IN_FLIGHT)
            mine.append(driven.rate * (FOLLOWERS + 1))
            driven = await drive(unnest, calls=posts, in_flight=POSTS_IN_FLIGHT)
            its.append(driven.rate * FOLLOWERS)
        given_up = await generations.current()
    rounds = Rounds(mine, its)
    rate, ceiling = rounds.medians
    return Line(
        name="P3",
        what="fan-out to hot feeds and index, against unnest of 1,000 alone:"
        f" {FOLLOWERS:,} followers, {POSTS_IN_FLIGHT} posts in flight in both",
        ours=f"{rate:,.0f}/s",
        ceiling=f"{ceiling:,.0f}/s",
        ratio=rate / ceiling,
        goal=GOAL,
        load=load,
        notes=[
            f"{rounds} entries/s",
            f"appends to hot feeds that Valkey was too slow for: {given_up}",
        ],
    )


async def _ours(
    stack: AsyncExitStack, engines: Engines, pages: Sequence[list[UserId]]
) -> tuple[FeedFanOut, Left, PostgresGenerations]:
    """Fan-out as in svc_feed/wiring.py, and the hot feeds of all viewers."""
    settings = FeedSettings()
    metrics = CollectorRegistry()
    database = await _database(engines, "svc_feed")
    shards = await stack.enter_async_context(
        open_shards([PostgresSettings(url=database)], metrics=metrics)
    )
    valkey: Valkey = await stack.enter_async_context(
        open_valkey(ValkeySettings(url=engines.valkey_url), metrics=metrics)
    )
    patient = ValkeySettings(url=engines.valkey_url, socket_timeout=BULK_SECONDS)
    bulk: Valkey = await stack.enter_async_context(
        open_valkey(patient, metrics=metrics)
    )
    hot_feeds = ValkeyHotFeeds(
        valkey=valkey,
        bulk=bulk,
        tag=HotTag(valkey=valkey, bulk=valkey),
        window=settings.hot_window,
        ttl=timedelta(hours=1),
    )
    await _fill(hot_feeds, pages)
    generations = PostgresGenerations(shards=shards)
    clock = SystemClock()
    first = shards.all()[0]
    await first.execute(READ, list(itertools.chain.from_iterable(pages)))
    outbox = Outbox(source="feed", ids=ids.Ids(clock=clock, node=2), clock=clock)
    left = Left(outbox=PostgresContinuations(pool=first, outbox=outbox))
    fan_out = FeedFanOut(
        index=PostgresFeedIndex(
            shards=shards,
            audience=Audience(
                clock=clock,
                idle_after=settings.idle_after,
                near=settings.reading_near,
                most_near=settings.near_reading,
            ),
            read_seconds=settings.index_read_seconds,
            clock=clock,
        ),
        hot_feeds=DoubtedHotFeeds(hot_feeds=hot_feeds, generations=generations),
        graph=Followers(pages=pages),
        continuations=left,
        watch=FanOutMeters(metrics=Metrics(metrics), clock=clock),
        in_flight=settings.fan_out_pages,
        part=settings.fan_out_batch,
    )
    return fan_out, left, generations


async def _fill(hot_feeds: ValkeyHotFeeds, pages: Sequence[list[UserId]]) -> None:
    """Gives every viewer a built hot feed with older entries in it."""
    old = [Entry(PostId(number), UserId(1)) for number in range(FILLED, 0, -1)]
    viewers = list(itertools.chain.from_iterable(pages))

    async def build(number: int) -> None:
        viewer = viewers[number]
        if (name := await hot_feeds.begin(viewer)) is not None:
            await hot_feeds.finish(viewer, name, Hot(old, BELOW_ALL))

    await drive(build, calls=len(viewers), in_flight=64)


async def _ceiling(stack: AsyncExitStack, engines: Engines) -> asyncpg.Pool:
    """As many plain connections as posts are in flight, to the same kind of table."""
    return await stack.enter_async_context(
        asyncpg.create_pool(
            await _database(engines, "bench_ceiling"),
            min_size=POSTS_IN_FLIGHT,
            max_size=POSTS_IN_FLIGHT,
        )
    )


async def _database(engines: Engines, name: str) -> str:
    """URL of a new database with the tables of svc_feed."""
    url = urlunsplit(urlsplit(engines.postgres_url)._replace(path=f"/{name}"))
    await migrate.migrate(url, "svc_feed")
    return url
