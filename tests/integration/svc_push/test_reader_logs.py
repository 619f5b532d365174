"""The reader logs in a real Valkey."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from redis.asyncio import Redis

from chassis.testing import FakeClock, engines, eventually, valkey
from chassis.valkey import open_valkey

from svc_push.hot import ANYBODY, BATCH, ValkeyReaderLogs
from svc_push.model import Held, LogLimits, UserId
from tests.contract.push_reader_logs_contract import (
    ANN,
    HERE,
    LIMITS,
    Opened,
    ReaderLogsContract,
    added,
)


@asynccontextmanager
async def open_logs(limits: LogLimits = LIMITS) -> AsyncIterator[Opened]:
    """Empty logs in Valkey."""
    clock, numbers = FakeClock(), itertools.count(1)
    async with valkey() as settings, open_valkey(settings) as opened:
        logs = ValkeyReaderLogs(
            valkey=opened,
            clock=clock,
            limits=limits,
            fresh_epoch=lambda: f"v{next(numbers)}",
        )
        yield Opened(logs, clock)


def raw() -> Redis:
    """A client of its own, to spoil things."""
    return Redis.from_url(engines().valkey)


class TestValkeyReaderLogs(ReaderLogsContract):
    @asynccontextmanager
    async def open_logs(self, limits: LogLimits = LIMITS) -> AsyncIterator[Opened]:
        async with open_logs(limits) as it:
            yield it


async def test_many_readers_take_a_few_calls() -> None:
    """More than one batch: every reader is answered for, once."""
    everybody = [UserId(number) for number in range(1, BATCH + 12)]
    async with open_logs() as it:
        heads = await it.logs.touch(
            [Held(viewer, 1, None) for viewer in everybody], process=HERE
        )
        placed = await it.logs.append(everybody, added(1))

        assert sorted(heads) == everybody
        assert sorted(found.viewer for found in placed) == everybody
        assert {found.position.sequence for found in placed} == {1}


async def test_another_run_of_the_engine_begins_logs_anew() -> None:
    """A snapshot brings back old sequences: none of them is handed out again."""
    async with open_logs() as it, raw() as client:
        before = await it.open()
        await it.place(ANN, added(1))
        await client.hset("log:{1}", "run", "of/before")
        read = await it.logs.read(ANN, after=before.head, limit=9)
        placed = await it.place(ANN, added(2))

        assert read is None
        assert placed.position.epoch != before.head.epoch
        assert placed.position.sequence == 1


async def test_where_changes_may_have_been_left_out_logs_begin_anew() -> None:
    """Nobody is logged for while nobody seems online: that must not go unnoticed."""
    async with open_logs() as it, raw() as client:
        before = await it.open()
        await client.delete(ANYBODY)

        assert not await it.logs.anybody()
        assert await it.logs.append([ANN], added(1)) == []
        assert await it.logs.read(ANN, after=before.head, limit=9) is None
        heads = await it.logs.touch([Held(ANN, 1, None)], process=HERE)
        assert heads[ANN].epoch != before.head.epoch
        assert not (await it.open()).reaches(before.head)


async def test_half_a_loss_is_a_whole_one() -> None:
    """An engine short of memory drops single keys."""
    async with open_logs() as it, raw() as client:
        before = await it.open()
        await client.delete("log:{1}")
        after = await it.open()

        assert not after.reaches(before.head)


async def test_a_reader_who_stays_away_is_forgotten() -> None:
    """Log and mark go together, a while after the last sign of the reader."""
    limits = replace(LIMITS, retention=timedelta(milliseconds=50))
    async with open_logs(limits) as it, raw() as client:
        await it.open()
        await it.place(ANN, added(1))
        await it.logs.leave(ANN, process=HERE, streams=0)

        async def is_gone() -> bool:
            return await client.keys("*") == []

        await eventually(is_gone)
        assert await it.logs.append([ANN], added(2)) == []
