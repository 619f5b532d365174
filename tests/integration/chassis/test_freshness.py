"""Marks, change log, recent lists and versioned bytes in a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from redis.asyncio import Redis

from chassis.errors import Unavailable
from chassis.freshness import (
    ChangeLog,
    ChangeLogReader,
    Changes,
    RecentList,
    VersionedBytes,
    VersionMarks,
)
from chassis.testing import engines, eventually, fault_proxy, refuses, valkey
from chassis.valkey import Valkey, ValkeySettings, open_valkey

MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def opened() -> AsyncIterator[Valkey]:
    async with valkey() as settings, open_valkey(settings) as client:
        yield client


async def mark(client: Valkey, marks: VersionMarks, identifier: int) -> int | None:
    return marks.parse(await client.get(marks.key(identifier)))


async def test_a_mark_is_unknown_from_begin_to_settle() -> None:
    """Between the two, readers ask the owner."""
    async with opened() as client:
        marks = VersionMarks(client)
        await marks.settle([1, 2], 5)
        assert await mark(client, marks, 1) == 5

        await marks.begin([1, 2], 6)
        assert await mark(client, marks, 1) is None
        assert await mark(client, marks, 2) is None

        await marks.settle([1, 2], 6)
        assert await mark(client, marks, 2) == 6


async def test_settling_keeps_what_a_newer_change_began() -> None:
    """The older of two changes does not make the newer one's version known."""
    async with opened() as client:
        marks = VersionMarks(client)
        await marks.begin([1], 6)
        await marks.begin([1], 7)
        await marks.settle([1], 6)
        assert await mark(client, marks, 1) is None

        await marks.settle([1], 7)
        await marks.settle([1], 6)
        await marks.begin([1], 6)
        assert await mark(client, marks, 1) == 7


async def test_a_missing_mark_is_put_back_and_no_other_replaced() -> None:
    """What was read from the record never hides a change under way."""
    async with opened() as client:
        marks = VersionMarks(client)
        await marks.restore(1, 5)
        assert await mark(client, marks, 1) == 5

        await marks.begin([1], 6)
        await marks.restore(1, 5)
        assert await mark(client, marks, 1) is None

        await marks.settle([1], 6)
        await marks.restore(1, 5)
        assert await mark(client, marks, 1) == 6


async def test_an_unknown_mark_does_not_last() -> None:
    """A change that was never committed leaves a mark that expires."""
    async with opened() as client:
        marks = VersionMarks(client)
        await marks.begin([1], 6)
        async with Redis.from_url(engines().valkey) as raw:
            assert 0 < await raw.pttl(marks.key(1)) <= 60_000


async def test_a_mark_that_cannot_be_written_is_written_later() -> None:
    """Nobody is kept from blocking by a Valkey that is away."""
    host, port = engines().valkey.rpartition("@")[2].split("/")[0].split(":")
    async with valkey(), fault_proxy(host, int(port)) as proxy:
        url = engines().valkey.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")
        async with open_valkey(ValkeySettings(url=url)) as client:
            marks = VersionMarks(client)
            proxy.refuse()
            await marks.begin([1], 3)
            await marks.settle([1], 3)
            with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                await client.get(marks.key(1))
            proxy.heal()

            await eventually(lambda: _is_three(client, marks))


async def _is_three(client: Valkey, marks: VersionMarks) -> bool:
    return await mark(client, marks, 1) == 3


async def apply(client: Valkey, log: ChangeLog, reader: ChangeLogReader) -> Changes:
    return await reader.apply(await client.get(log.head_key), client.epoch())


async def test_a_reader_gets_each_change_once() -> None:
    """The first look empties the cache; then only what is new is told."""
    async with opened() as client:
        log = ChangeLog(client)
        reader = ChangeLogReader(log)
        await log.append(["p:1"])
        assert await apply(client, log, reader) == Changes(reset=True)
        assert await apply(client, log, reader) == Changes()

        await log.append(["p:2", "u:3"])
        await log.append(["p:4"])
        assert await apply(client, log, reader) == Changes(("p:2", "u:3", "p:4"))
        assert await apply(client, log, reader) == Changes()


async def test_pages_at_once_share_the_changes_without_loss() -> None:
    """A change is told to exactly one of the pages that come together."""
    async with opened() as client:
        log = ChangeLog(client)
        reader = ChangeLogReader(log)
        await log.append(["p:1"])
        await apply(client, log, reader)
        seen: list[str] = []
        for number in range(30):
            await log.append([f"p:{number}"])
            told = await asyncio.gather(*(apply(client, log, reader) for _ in range(5)))
            seen += [entry for changes in told for entry in changes.entries]

    assert seen == [f"p:{number}" for number in range(30)]


async def test_a_head_that_is_missing_or_went_back_empties_the_cache() -> None:
    """What was lost with the log is not known, so everything goes."""
    async with opened() as client:
        log = ChangeLog(client)
        reader = ChangeLogReader(log)
        await log.append(["p:1"])
        await apply(client, log, reader)

        await client.delete(log.head_key)
        assert await apply(client, log, reader) == Changes(reset=True)
        await log.append(["p:2"])
        assert await apply(client, log, reader) == Changes(reset=True)

        await client.set(log.head_key, "5")
        assert await apply(client, log, reader) == Changes(reset=True)


async def test_another_epoch_empties_the_cache() -> None:
    """The same head in another run of the server says nothing."""
    async with opened() as client:
        log = ChangeLog(client)
        reader = ChangeLogReader(log)
        await log.append(["p:1"])
        head = await client.get(log.head_key)
        await reader.apply(head, "one")

        assert await reader.apply(head, "two") == Changes(reset=True)
        assert await reader.apply(head, "two") == Changes()


async def test_a_reader_too_far_behind_empties_the_cache() -> None:
    """The log is short: it keeps some thousand entries."""
    async with opened() as client:
        log = ChangeLog(client)
        reader = ChangeLogReader(log)
        await log.append(["p:0"])
        await apply(client, log, reader)
        await log.append([f"p:{n}" for n in range(5000)])

        assert await apply(client, log, reader) == Changes(reset=True)


async def test_a_change_is_told_before_and_after_its_commit() -> None:
    """A cache that filled itself again in between forgets it once more."""
    async with opened() as client:
        log = ChangeLog(client)
        reader = ChangeLogReader(log)
        await log.append(["p:0"])
        await apply(client, log, reader)
        async with log.around(["p:1"]):
            assert await apply(client, log, reader) == Changes(("p:1",))

        assert await apply(client, log, reader) == Changes(("p:1",))


async def test_recent_ids_are_newest_first_and_once() -> None:
    """A repeated append shows nothing twice; the list stays short."""
    async with opened() as client:
        recent = RecentList(client, kept=3)
        for number in (5, 3, 5, 9, 4, 8):
            await recent.append(1, number)
        assert recent.unpack(await client.get(recent.key(1))) == [9, 8, 5, 4, 3]

        await recent.append(1, 7)
        assert recent.unpack(await client.get(recent.key(1))) == [8, 7, 4]


async def test_an_older_value_never_replaces_a_newer_one() -> None:
    """Writers may come in any order."""
    async with opened() as client:
        stored = VersionedBytes(client)
        await stored.put("p:{1}", 2, b"two", MINUTE)
        await stored.put("p:{1}", 1, b"one", MINUTE)
        assert stored.parse(await client.get("p:{1}")) == b"two"

        await stored.put("p:{1}", 1 << 60, b"new", MINUTE)
        assert stored.parse(await client.get("p:{1}")) == b"new"


async def test_a_blocked_value_is_unknown_until_its_version_is_put() -> None:
    """A reader that loaded before the change cannot bring the old value back."""
    async with opened() as client:
        stored = VersionedBytes(client)
        await stored.put("p:{1}", 1, b"old", MINUTE)
        await stored.block("p:{1}", 2, MINUTE)
        await stored.put("p:{1}", 1, b"old", MINUTE)
        assert stored.parse(await client.get("p:{1}")) is None

        await stored.put("p:{1}", 2, b"new", MINUTE)
        await stored.block("p:{1}", 2, MINUTE)
        assert stored.parse(await client.get("p:{1}")) == b"new"


async def test_what_is_gone_stays_gone() -> None:
    """A tombstone says more than nothing: the owner need not be asked."""
    async with opened() as client:
        stored = VersionedBytes(client)
        await stored.tombstone("p:{1}", 3, MINUTE)
        await stored.put("p:{1}", 2, b"late", MINUTE)
        await stored.put("p:{1}", 3, b"late", MINUTE)
        raw = await client.get("p:{1}")

        assert stored.parse(raw) is None
        assert stored.is_gone(raw)
        assert stored.version(raw) == 3


async def test_a_value_of_another_run_is_missing() -> None:
    """A snapshot may bring back what was changed or deleted after it was taken."""
    async with opened() as client:
        stored = VersionedBytes(client)
        await stored.put("p:{1}", 9, b"old", MINUTE)
        raw = await client.get("p:{1}")
        assert stored.current(raw) == b"old"

        assert raw is not None
        restored = raw[:9] + b"00000000" + raw[17:]
        await client.set("p:{1}", restored)
        assert stored.current(restored) is None

        await stored.put("p:{1}", 2, b"now", MINUTE)
        assert stored.current(await client.get("p:{1}")) == b"now"


async def test_recent_ids_of_another_run_are_not_believed() -> None:
    """They lack what was appended since, so the list begins anew."""
    async with opened() as client:
        recent = RecentList(client)
        await recent.append(1, 5)
        raw = await client.get(recent.key(1))
        assert raw is not None
        await client.set(recent.key(1), b"00000000" + raw[8:])
        assert recent.current(await client.get(recent.key(1))) is None

        await recent.append(1, 6)
        assert recent.current(await client.get(recent.key(1))) == [6]


async def test_writers_owe_nothing_when_readers_come_back() -> None:
    """A reader that settles finds in order what could not be written meanwhile."""
    host, port = engines().valkey.rpartition("@")[2].split("/")[0].split(":")
    async with valkey(), fault_proxy(host, int(port)) as proxy:
        url = engines().valkey.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")
        settled = ValkeySettings(url=url, settle_seconds=1.5)
        async with (
            open_valkey(ValkeySettings(url=url)) as writer,
            open_valkey(settled) as reader,
        ):
            marks = VersionMarks(writer)
            await marks.settle([1], 1)
            proxy.refuse()
            await marks.begin([1], 2)
            with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                await reader.get(marks.key(1))
            proxy.heal()

            async def first_answer() -> bytes | None:
                try:
                    return await reader.get(marks.key(1))
                except Unavailable as error:
                    raise AssertionError("it is away still") from error

            assert await eventually(first_answer) == b"?2"


async def test_many_values_are_put_at_once() -> None:
    """Each key with its own version."""
    async with opened() as client:
        stored = VersionedBytes(client)
        await stored.put_all({"p:{1}": (1, b"a"), "p:{2}": (2, b"b")}, MINUTE)

        raws = await client.read(["p:{1}", "p:{2}"])
        assert [stored.parse(raw) for raw in raws] == [b"a", b"b"]
