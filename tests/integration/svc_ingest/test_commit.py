"""A post is acknowledged by its commit, and by nothing before it."""

import pytest

from chassis.errors import MeshError

from tests.support.ingest import ingest_room

# Fails the transaction at its very end, when every statement has succeeded.
FAIL_AT_COMMIT = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not today';
END
$$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON request_record
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()
"""


async def test_a_commit_that_fails_is_no_success() -> None:
    """What the database refuses at the end was never acknowledged, and is not there."""
    async with ingest_room() as room:
        [ann] = room.people(1)
        await room.pool.execute(FAIL_AT_COMMIT)

        with pytest.raises(MeshError):
            await room.create(ann, text="hi", request_id="once")
        assert await room.pool.fetchval("SELECT count(*) FROM post") == 0
