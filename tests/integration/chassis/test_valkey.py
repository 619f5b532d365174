"""The Valkey client against the real engine."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from chassis.embedded.engines import Ports, open_engines
from chassis.errors import Unavailable
from chassis.testing import engines, eventually, fault_proxy, refuses, valkey
from chassis.valkey import Script, Valkey, ValkeySettings, open_valkey

ECHO = Script("return {KEYS[1], ARGV[1]}")


@asynccontextmanager
async def opened() -> AsyncIterator[Valkey]:
    async with valkey() as settings, open_valkey(settings) as client:
        yield client


async def calls(command: str) -> int:
    """How often the server carried a command out."""
    async with Redis.from_url(engines().valkey) as client:
        stats = await client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_concurrent_reads_are_one_command() -> None:
    """What all callers of one turn of the loop want goes out as one MGET."""
    async with opened() as client:
        await client.set("a", "1")
        await client.set("b", "2")
        before = await calls("mget")

        answers = await asyncio.gather(
            client.read(["a", "b"]), client.read(["b", "none"]), client.get("a")
        )

        assert tuple(answers) == ([b"1", b"2"], [b"2", None], b"1")
        assert await calls("mget") == before + 1


async def test_a_value_expires() -> None:
    """The ttl reaches the server in milliseconds."""
    async with opened() as client:
        await client.set("brief", b"1", ttl=timedelta(milliseconds=20))

        await eventually(lambda: _is_gone(client, "brief"))


async def _is_gone(client: Valkey, key: str) -> bool:
    return await client.get(key) is None


async def test_deleted_keys_are_gone() -> None:
    """Deleting what is not there is no error."""
    async with opened() as client:
        await client.set("a", "1")
        await client.delete("a", "never")

        assert await client.get("a") is None


async def test_a_script_is_loaded_when_the_server_forgot_it() -> None:
    """A restart empties the script cache, and nobody notices."""
    async with opened() as client:
        await client.call(ECHO, ["{k}"], ["1"])
        async with Redis.from_url(engines().valkey) as raw:
            await raw.script_flush()

        assert await client.call(ECHO, ["{k}"], ["2"]) == [b"{k}", b"2"]


async def test_a_refused_command_fails_alone() -> None:
    """Commands that share a write do not share their errors."""
    async with opened() as client:
        broken = Script("return redis.call('NOPE')")
        outcomes = await asyncio.gather(
            client.call(broken, ["k"]),
            client.call(ECHO, ["k"], ["x"]),
            return_exceptions=True,
        )

    assert isinstance(outcomes[0], ResponseError)
    assert outcomes[1] == [b"k", b"x"]


async def test_an_argument_of_a_wrong_type_concerns_its_call_alone() -> None:
    """Neither the other calls of the turn nor the server are blamed."""
    async with opened() as client:
        wrong: list[Any] = [None]
        outcomes = await asyncio.gather(
            client.call(ECHO, ["k"], wrong), client.get("a"), return_exceptions=True
        )

        assert isinstance(outcomes[0], TypeError)
        assert outcomes[1] is None
        await client.ping()


async def test_a_cancelled_reader_neither_stops_nor_answers_the_others() -> None:
    """A reply never reaches another call than its own, whoever goes away."""
    async with opened() as client:
        for number in range(200):
            await client.set(f"n:{number}", str(number))

        async def read(number: int) -> bytes | None:
            return await client.get(f"n:{number}")

        for _ in range(20):
            tasks = [asyncio.ensure_future(read(n)) for n in range(200)]  # noqa: TID251 - cancelled one by one
            await asyncio.sleep(0)
            for task in itertools.islice(tasks, 0, None, 3):
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for number, answer in enumerate(answers):
                if number % 3 == 0:
                    assert isinstance(answer, asyncio.CancelledError)
                else:
                    assert answer == str(number).encode()


async def test_a_frozen_server_costs_one_timeout() -> None:
    """After the first timeout calls fail at once, until the server answers."""
    address = urlsplit(engines().valkey)
    assert address.hostname is not None
    assert address.port is not None
    async with valkey(), fault_proxy(address.hostname, address.port) as proxy:
        settings = _through(engines().valkey, proxy.port)
        async with open_valkey(settings) as client:
            await client.ping()
            proxy.freeze()
            with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                await client.ping()
            began = perf_counter()
            for _ in range(100):
                with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                    await client.get("a")
            elapsed = perf_counter() - began
            proxy.heal()

            assert elapsed < settings.socket_timeout
            await eventually(client.ping)


def _through(url: str, port: int) -> ValkeySettings:
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    netloc = f"{credentials}@127.0.0.1:{port}" if credentials else f"127.0.0.1:{port}"
    return ValkeySettings(url=urlunsplit(parts._replace(netloc=netloc)))


async def test_a_restart_is_another_epoch(tmp_path: Path) -> None:
    """Marks may be lost with a restart, so that caches learn of it."""
    with open_engines(tmp_path, Ports.free(), only=("valkey",)) as embedded:
        settings = ValkeySettings(url=embedded.valkey_url)
        async with open_valkey(settings) as client:
            await client.ping()
            first = client.epoch()
            await client.ping()

            assert first
            assert client.epoch() == first

            await asyncio.to_thread(embedded.stop, "valkey")
            await asyncio.to_thread(embedded.start, "valkey")
            await eventually(client.ping)

            assert client.epoch()
            assert client.epoch() != first


async def test_an_absent_server_is_no_reason_not_to_start() -> None:
    """Opening never fails; calls do, and say what is missing."""
    absent = ValkeySettings(url="redis://127.0.0.1:1/0")
    async with open_valkey(absent) as client:
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await client.get("a")


async def test_keys_of_one_node_are_one_group() -> None:
    """One script call may take all of them where there is one server."""
    async with opened() as client:
        assert client.slots(["a", "b", "c"]) == [["a", "b", "c"]]
        assert client.slots([]) == []


@pytest.mark.parametrize("size", [1, 100_000])
async def test_values_come_back_whole(size: int) -> None:
    """Any bytes, of any length."""
    value = bytes(range(256)) * (size // 256 + 1)
    async with opened() as client:
        await client.set("v", value)

        assert await client.get("v") == value
