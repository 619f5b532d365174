"""Migrations and partitions on the real engine."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest

from chassis import ids, partitions
from chassis.errors import FailedPrecondition
from chassis.migrate import load, migrate, verify
from chassis.partitions import RangePartitions
from chassis.postgres import PostgresSettings, open_pool
from chassis.testing import NOON, database, refuses

CREATE = """
CREATE TABLE post (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
COMMENT ON TABLE post IS 'partitions: width 7 days, ahead 2';
"""
INDEX = """-- no-transaction
CREATE INDEX CONCURRENTLY thing_name ON thing (name);
"""


@contextmanager
def room(name: str, **files: str) -> Iterator[Path]:
    """An importable package with migrations: _0001_x="SQL"."""
    with TemporaryDirectory() as folder:
        package = Path(folder) / name
        (package / "migrations").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        for file, sql in files.items():
            (package / "migrations" / f"{file.lstrip('_')}.sql").write_text(sql)
        sys.path.insert(0, folder)
        try:
            yield package / "migrations"
        finally:
            sys.path.remove(folder)
            sys.modules.pop(name, None)


async def test_files_are_applied_once_and_in_order() -> None:
    """A second run finds nothing to do."""
    files = {
        "_0001_thing": "CREATE TABLE thing (id int)",
        "_0002_name": "ALTER TABLE thing ADD name text; INSERT INTO thing VALUES (1);",
        "_0003_index": INDEX,
    }
    async with database("chassis") as settings:
        with room("room_once", **files):
            first = await migrate(settings.url, "room_once")
            second = await migrate(settings.url, "room_once")

        async with open_pool(settings) as pool:
            assert await pool.fetchval("SELECT count(*) FROM thing") == 1
            assert await pool.fetchval("SELECT to_regclass('thing_name')")
    assert first == ["0001_thing.sql", "0002_name.sql", "0003_index.sql"]
    assert second == []


async def test_a_failing_file_leaves_nothing_behind() -> None:
    """Each file is one transaction, its record included."""
    files = {"_0001_bad": "CREATE TABLE half (id int); SELECT nope;"}
    async with database("chassis") as settings:
        with room("room_bad", **files), pytest.raises(asyncpg.UndefinedColumnError):
            await migrate(settings.url, "room_bad")

        async with open_pool(settings) as pool:
            assert await pool.fetchval("SELECT to_regclass('half')") is None


async def test_an_applied_file_is_never_edited() -> None:
    """Its checksum is kept."""
    async with database("chassis") as settings:
        with room("room_edit", _0001_t="CREATE TABLE t (id int)") as folder:
            await migrate(settings.url, "room_edit")
            (folder / "0001_t.sql").write_text("CREATE TABLE t (id bigint)")
            with refuses(FailedPrecondition, "INTERNAL"):
                await migrate(settings.url, "room_edit")


async def test_a_service_refuses_a_database_that_is_behind() -> None:
    """And runs on one that is ahead."""
    async with database("chassis") as settings, open_pool(settings) as pool:
        with room("room_behind", _0001_t="CREATE TABLE t (id int)"):
            with refuses(FailedPrecondition, "INTERNAL"):
                await verify(pool, "room_behind")
            await migrate(settings.url, "room_behind")
            await verify(pool, "room_behind")
        await verify(pool, "chassis.testing")


async def test_migrating_twice_at_once_applies_once() -> None:
    """One process does the work, the other waits for it."""
    async with database("chassis") as settings:
        with room("room_race", _0001_t="CREATE TABLE t (id int)"):
            done = await asyncio.gather(
                *(migrate(settings.url, "room_race") for _ in range(3))
            )

    assert sorted(done, key=len) == [[], [], ["0001_t.sql"]]


async def test_a_missing_database_is_created() -> None:
    """migrate needs a server, not a database."""
    async with database("chassis") as settings:
        url = f"{settings.url}_new"
        await migrate(url, "chassis.testing")
        async with open_pool(PostgresSettings(url=url)) as pool:
            await verify(pool, "chassis.testing")
        async with open_pool(settings) as pool:
            name = url.rpartition("/")[2]
            await pool.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_numbers_without_gap() -> None:
    """A forgotten or doubled number stops the start."""
    with (
        room("room_gap", _0001_a="SELECT 1", _0003_b="SELECT 1"),
        pytest.raises(ValueError, match="numbered"),
    ):
        load("room_gap")


async def test_partitions_of_now_and_ahead_exist_after_a_migration() -> None:
    """The comment of the parent says how it is cut; old ids have a home too."""
    async with database("chassis") as settings:
        with room("room_parts", _0001_post=CREATE):
            await migrate(settings.url, "room_parts")
        async with open_pool(settings) as pool:
            [_, post] = await partitions.declared(pool)
            present = await post.present(pool)
            await pool.execute("INSERT INTO post VALUES (1)")

    assert post == RangePartitions("post", timedelta(days=7), ahead=2)
    assert present[0].name == "post_old"
    assert len(present) == 4


async def test_partitions_made_at_once_do_not_collide() -> None:
    """Several workers look after the same tables."""
    post = RangePartitions("post", timedelta(days=1), ahead=3)
    async with database("chassis") as settings, open_pool(settings) as pool:
        await pool.execute(CREATE)
        made = await asyncio.gather(*(post.ensure(pool, NOON) for _ in range(4)))
        later = await post.ensure(pool, NOON + timedelta(days=2))

    assert sorted(len(names) for names in made) == [0, 0, 0, 5]
    assert later == ["post_y2026m03d05", "post_y2026m03d06"]


async def test_partitions_of_another_width_are_not_overlapped() -> None:
    """What is covered stays as it is; only what is free is cut anew."""
    async with database("chassis") as settings, open_pool(settings) as pool:
        await pool.execute(CREATE)
        await RangePartitions("post", timedelta(days=7), ahead=0).ensure(pool, NOON)
        await RangePartitions("post", timedelta(days=1), ahead=9).ensure(pool, NOON)
        for day in range(7):
            at = ids.floor_of(NOON + timedelta(days=day))
            await pool.execute("INSERT INTO post VALUES ($1)", at)

        assert await pool.fetchval("SELECT count(*) FROM post") == 7


async def test_partitions_that_ended_long_ago_are_dropped() -> None:
    """Whole partitions go, rows are not deleted one by one."""
    post = RangePartitions("post", timedelta(days=1), ahead=0, keep=timedelta(days=2))
    async with database("chassis") as settings, open_pool(settings) as pool:
        await pool.execute(CREATE)
        await post.ensure(pool, NOON)
        await post.ensure(pool, NOON + timedelta(days=1))
        kept = await post.drop_old(pool, NOON + timedelta(days=2))
        gone = await post.drop_old(pool, NOON + timedelta(days=3))

    assert kept == ["post_old"]
    assert gone == ["post_y2026m03d01"]
