"""What tests get from the shared engines: a place of their own, empty."""

import asyncpg
import nats as nats_py
import pytest
from redis.asyncio import Redis

from chassis.testing import database, engines, nats, valkey


async def test_each_database_is_fresh() -> None:
    """With the migrations of its room; nothing of another test's is in it."""
    async with database("svc_graph") as one, database("svc_graph") as other:
        first = await asyncpg.connect(one.url)
        second = await asyncpg.connect(other.url)
        await first.execute("CREATE TABLE only_here ()")
        migrations = await second.fetchval("SELECT count(*) FROM schema_migration")
        with pytest.raises(asyncpg.UndefinedTableError):
            await second.execute("SELECT FROM only_here")
        await first.close()
        await second.close()

    assert migrations >= 2


async def test_a_database_goes_away() -> None:
    """Even while somebody is still connected."""
    async with database("chassis") as settings:
        left_open = await asyncpg.connect(settings.url)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(settings.url)
    left_open.terminate()


async def test_valkey_is_empty() -> None:
    """Keys of an earlier test are gone."""
    for _ in range(2):
        async with valkey() as settings, Redis.from_url(settings.url) as client:
            keys = await client.dbsize()
            await client.set("left", "behind")

            assert keys == 0


async def test_nats_has_no_streams() -> None:
    """Streams of an earlier test are gone, and their consumers with them."""
    for _ in range(2):
        async with nats() as settings:
            connection = await nats_py.connect(settings.url)
            streams = connection.jetstream()
            names = [stream.config.name for stream in await streams.streams_info()]
            await streams.add_stream(name="LEFT", subjects=["left"])
            await connection.close()

            assert names == []


def test_one_set_serves_the_whole_run() -> None:
    """Asked for again, they are the same."""
    assert engines() is engines()
