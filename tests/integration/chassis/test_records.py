"""Request records, the audit trail, node numbers and shards on the real engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from chassis import audit
from chassis.errors import Aborted
from chassis.idempotency import RequestRecords
from chassis.ids import allot_node
from chassis.postgres import Pool, open_pool
from chassis.shards import open_shards, virtual_shard
from chassis.testing import NOON, FakeClock, database, refuses

METHOD = "/feedmesh.ingest.v1.PostService/CreatePost"


@asynccontextmanager
async def opened() -> AsyncIterator[Pool]:
    async with database("chassis") as settings, open_pool(settings) as pool:
        yield pool


async def carry_out(
    pool: Pool, *, key: str = "k", digest: bytes = b"d", caller: int = 1
) -> tuple[bool, bytes]:
    """A request that counts its effects: (replayed, answer)."""
    records = RequestRecords(clock=FakeClock())
    async with pool.transaction() as tx:
        there = await records.claim(
            tx, caller=caller, method=METHOD, key=key, digest=digest
        )
        if there is not None:
            return True, there
        answer = str(await tx.fetchval("SELECT nextval('node_id')")).encode()
        await records.keep(tx, caller=caller, method=METHOD, key=key, response=answer)
        return False, answer


async def fail(pool: Pool) -> None:
    """The same request, but its effect fails."""
    records = RequestRecords(clock=FakeClock())
    async with pool.transaction() as tx:
        await records.claim(tx, caller=1, method=METHOD, key="k", digest=b"d")
        await tx.execute("SELECT 1 / 0")


async def test_a_repeated_request_gets_the_same_answer() -> None:
    """One effect, one answer, per caller and key."""
    async with opened() as pool:
        first = await carry_out(pool)
        again = await carry_out(pool)
        other = await carry_out(pool, caller=2)

    assert first == (False, again[1])
    assert again[0]
    assert not other[0]


async def test_a_key_belongs_to_one_request() -> None:
    """The same key with another body is refused and changes nothing."""
    async with opened() as pool:
        await carry_out(pool)
        with refuses(Aborted, "REQUEST_ID_CONFLICT"):
            await carry_out(pool, digest=b"other")


async def test_repeats_at_once_have_one_effect() -> None:
    """The second waits for the first to commit."""
    async with opened() as pool:
        answers = await asyncio.gather(*(carry_out(pool) for _ in range(8)))

    assert sorted(replayed for replayed, _ in answers) == [False] + [True] * 7
    assert len({answer for _, answer in answers}) == 1


async def test_a_request_that_failed_may_be_repeated() -> None:
    """Record and effect are there together or not at all."""
    async with opened() as pool:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await fail(pool)

        assert not (await carry_out(pool))[0]


async def test_old_records_are_pruned() -> None:
    """Keys are good for a while, not for ever."""
    records = RequestRecords(clock=FakeClock())
    async with opened() as pool:
        await carry_out(pool)

        assert await records.prune(pool, NOON) == 0
        assert await records.prune(pool, NOON + timedelta(seconds=1)) == 1


async def test_audit_rows_are_never_changed() -> None:
    """Not even by the service itself."""
    async with opened() as pool:
        await audit.record(pool, who="1", what="act_as", target="user:2", outcome="OK")
        for statement in ("UPDATE audit SET who = ''", "DELETE FROM audit"):
            with pytest.raises(asyncpg.RaiseError):
                await pool.execute(statement)

        assert await pool.fetchval("SELECT target FROM audit") == "user:2"


async def test_each_process_gets_a_node_number_of_its_own() -> None:
    """Ids of two processes never meet."""
    async with opened() as pool:
        assert [await allot_node(pool) for _ in range(3)] == [0, 1, 2]


async def test_keys_go_to_the_database_of_their_shard() -> None:
    """Two databases share the virtual shards evenly; one has them all."""
    async with (
        database("chassis") as one,
        database("chassis") as two,
        open_shards([one, two]) as shards,
    ):
        await shards.ping()
        groups = list(shards.group(range(1000)))

        assert len(shards.all()) == 2
        assert sorted(key for _, keys in groups for key in keys) == list(range(1000))
        for pool, keys in groups:
            assert all(shards.pool(key) is pool for key in keys)
            assert 400 < len(keys) < 600
        assert {virtual_shard(key) < 512 for key in groups[0][1]} == {
            shards.pool(groups[0][1][0]) is shards.all()[0]
        }
