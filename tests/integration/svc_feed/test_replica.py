"""The feed index with a replica: which of its reads may trail, and which may not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from chassis import migrate
from chassis.clock import SystemClock
from chassis.ids import Ids
from chassis.postgres import PostgresSettings
from chassis.shards import open_shards
from chassis.testing import eventually

from svc_feed.model import ABOVE_ALL, Entry, PostId, UserId
from svc_feed.store import PostgresFeedIndex
from svc_feed.store_audience import Audience
from tests.support.replica import postgres_pair

ANN, BEN = UserId(101), UserId(102)
# So many entries from long ago.
OLD = 30


def entry(post_id: int) -> Entry:
    return Entry(PostId(post_id), BEN)


async def test_only_deep_stretches_are_read_from_a_replica(tmp_path: Path) -> None:
    """What a hot feed is built of is the primary's, and so is the end of a feed."""
    async with postgres_pair(tmp_path) as pair:
        settings = PostgresSettings(
            url=pair.at_primary("svc_feed"),
            replica_url=pair.at_standby("svc_feed"),
            min_size=1,
            # Whatever it lacks in this test, it is read.
            replica_lag_seconds=600,
            replica_check_seconds=0.1,
        )
        await migrate.migrate(settings.url, "svc_feed")
        clock = SystemClock()
        async with open_shards(settings) as shards:
            index = PostgresFeedIndex(
                shards=shards,
                audience=Audience(
                    clock=clock,
                    idle_after=timedelta(days=30),
                    near=timedelta(0),
                    most_near=1,
                ),
                read_seconds=5,
                clock=clock,
            )
            await index.fill(ANN, [entry(number) for number in range(1, OLD + 1)])
            trailing = shards.pool(ANN).replica

            async def has_followed() -> None:
                assert await trailing.fetchval("SELECT pg_is_in_recovery()")
                count = await trailing.fetchval("SELECT count(*) FROM feed_entry")
                assert count == OLD

            await eventually(has_followed)
            await pair.pause_replay()
            await index.remove_post([ANN], PostId(20))
            placed = Ids(clock=clock, node=1).next()
            await index.fill(ANN, [entry(placed)])

            newest = await index.newest(ANN, limit=2, before=ABOVE_ALL)
            assert newest == [entry(placed), entry(OLD)]
            deep = await index.newest(ANN, limit=3, before=PostId(22))
            assert deep == [entry(21), entry(20), entry(19)]
            last = await index.newest(ANN, limit=100, before=PostId(22))
            assert [one.post_id for one in last] == [21, *range(19, 0, -1)]
