"""Migrations of svc_graph over rows that are there, and beside the version before."""

import asyncpg
import pytest

from chassis.migrate import load, migrate
from chassis.postgres import open_pool
from chassis.testing import database

# A database as the first version left it.
UNDO_REACH = """
ALTER TABLE graph_state DROP CONSTRAINT graph_state_counts;
ALTER TABLE follow DROP COLUMN created_at;
ALTER TABLE celebrity
    DROP COLUMN entered_at, DROP COLUMN leaving_version, DROP COLUMN pulled_since;
DELETE FROM schema_migration WHERE owner = 'svc_graph' AND number = 2;
INSERT INTO graph_state (user_id, follower_count) VALUES (1, -2), (2, 3);
INSERT INTO follow (follower_id, followee_id, version) VALUES (2, 1, 1);
INSERT INTO celebrity (user_id) VALUES (2);
"""

# What the version before goes on writing while processes are replaced.
WRITTEN_BEFORE = (
    "INSERT INTO follow (follower_id, followee_id, version) VALUES (1, 2, 2)",
    "INSERT INTO celebrity (user_id) VALUES (1) ON CONFLICT DO NOTHING",
    "UPDATE graph_state SET follower_count = follower_count + 1",
    "DELETE FROM celebrity WHERE user_id = 1",
)

CELEBRITY = """
SELECT entered_at < '2000-01-01', pulled_since < '2000-01-01', leaving_version
FROM celebrity
"""


async def test_reach_is_added_to_rows_that_are_there() -> None:
    """Celebrities are pulled since ever, follows begin now, no count is below 0."""
    assert [file.number for file in load("svc_graph")][:2] == [1, 2]
    async with database("svc_graph") as settings:
        async with open_pool(settings) as pool:
            for statement in UNDO_REACH.split(";\n"):
                if statement.strip():
                    await pool.execute(statement)
            table = "SELECT pg_relation_filenode('follow')"
            before = await pool.fetchval(table)
        await migrate(settings.url, "svc_graph")
        async with open_pool(settings) as pool:
            rows = await pool.fetch("SELECT follower_count FROM graph_state ORDER BY 1")
            since = await pool.fetchval("SELECT now() - created_at FROM follow")
            celebrity = await pool.fetchrow(CELEBRITY)
            after = await pool.fetchval(table)

    assert [row[0] for row in rows] == [0, 3]
    assert 0 <= since.total_seconds() < 60
    assert celebrity is not None
    assert tuple(celebrity) == (True, True, None)
    assert after == before, "the table was written anew"


async def test_the_version_before_goes_on_writing() -> None:
    """Its statements know nothing of the new columns."""
    async with database("svc_graph") as settings, open_pool(settings) as pool:
        for statement in WRITTEN_BEFORE:
            await pool.execute(statement)

        assert await pool.fetchval("SELECT created_at <= now() FROM follow")


async def test_no_count_is_stored_below_nothing() -> None:
    """Whoever writes it."""
    async with database("svc_graph") as settings, open_pool(settings) as pool:
        await pool.execute("INSERT INTO graph_state (user_id) VALUES (1)")
        for column in ("follower_count", "following_count"):
            with pytest.raises(asyncpg.CheckViolationError):
                await pool.execute(
                    f"UPDATE graph_state SET {column} = -1"  # noqa: S608 - two names
                )
