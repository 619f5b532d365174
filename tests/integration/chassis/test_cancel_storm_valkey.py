"""Cancelled and late round trips never poison a connection to Valkey.

Every value carries its owner: a key is named after who asks for it and holds that
name, so that a reply of somebody else's is seen for what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from random import Random
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from chassis.testing import FaultProxy, engines, eventually, fault_proxy, valkey
from chassis.valkey import Script, Valkey, ValkeySettings, open_valkey
from chassis.valkey_node import Epochs, SingleNode

from tests.support.storm import Storm

CALLS = 5_000
SEED = 18
OWNERS = 500
LATENCY = 0.002

ECHO = Script("return {KEYS[1], redis.call('GET', KEYS[1]), ARGV[1]}")


def key(owner: str) -> str:
    return f"of:{{{owner}}}"


@dataclass
class Asked:
    """Callers of one client. Each asks for what is theirs, and looks at the answer."""

    client: Valkey
    random: Random

    def known(self) -> str:
        """One of those whose keys there are."""
        return f"known-{self.random.randrange(OWNERS)}"

    async def reads(self, owner: str) -> None:
        """Merged with the reads of whoever else is asking."""
        names = [self.known() for _ in range(self.random.randint(1, 20))]
        values = await self.client.read([*map(key, names), key(f"no {owner}")])
        assert values == [*(name.encode() for name in names), None]

    async def gets(self, owner: str) -> None:
        name = self.known()
        assert await self.client.get(key(name)) == name.encode()

    async def runs(self, owner: str) -> None:
        name = self.known()
        answer = await self.client.call(ECHO, [key(name)], [owner])
        assert answer == [key(name).encode(), name.encode(), owner.encode()]

    async def sets(self, owner: str) -> None:
        """And finds what was set: nobody else writes this key."""
        await self.client.set(key(owner), owner)
        assert await self.client.get(key(owner)) == owner.encode()
        await self.client.delete(key(owner))
        assert await self.client.get(key(owner)) is None


@asynccontextmanager
async def behind_proxy(
    latency: float,
) -> AsyncIterator[tuple[ValkeySettings, FaultProxy]]:
    """A Valkey that knows its owners, through a proxy that takes its time."""
    async with valkey() as direct:
        parts = urlsplit(direct.url)
        assert parts.hostname
        assert parts.port
        async with Redis.from_url(direct.url) as raw:
            names = [f"known-{number}" for number in range(OWNERS)]
            await raw.mset({key(name): name for name in names})
        async with fault_proxy(parts.hostname, parts.port) as proxy:
            proxy.delay(latency)
            credentials = parts.netloc.rpartition("@")[0]
            netloc = f"127.0.0.1:{proxy.port}"
            if credentials:
                netloc = f"{credentials}@{netloc}"
            url = parts._replace(netloc=netloc).geturl()
            # Busy as this process is, only what a test makes late shall be late.
            yield (
                replace(direct, url=url, socket_timeout=10, connect_timeout=10),
                proxy,
            )


async def connections() -> int:
    """Those that the server has, but for the one that asks."""
    async with Redis.from_url(engines().valkey) as raw:
        return len(await raw.client_list(_type="normal")) - 1


@pytest.mark.parametrize("latency", [0.0, LATENCY], ids=["near", "far"])
async def test_no_reply_of_valkey_reaches_another_caller(latency: float) -> None:
    """However many readers leave the round trip that they share."""
    async with behind_proxy(latency) as (settings, _):
        before = await connections()
        async with open_valkey(settings) as client:
            asked = Asked(client, Random(SEED))
            storm = Storm(seed=SEED, in_flight=64, longest=0.01 + 4 * latency)
            await storm.rage([asked.reads, asked.gets, asked.runs, asked.sets], CALLS)

            assert storm.is_both(), storm.outcomes
            assert set(storm.outcomes) == {"answered", "cancelled"}
            assert await connections() - before <= settings.max_connections
        await eventually(lambda: are(before))


async def are(number: int) -> None:
    assert await connections() == number


async def test_no_late_reply_reaches_another_caller() -> None:
    """A server that is slower than the timeout answers calls that are long given up."""
    async with behind_proxy(LATENCY) as (settings, proxy):
        hasty = replace(settings, socket_timeout=0.02)
        async with open_valkey(hasty) as client:
            asked = Asked(client, Random(SEED))
            storm = Storm(seed=SEED, in_flight=64, longest=0.1)
            async with now_in_time_now_too_late(proxy):
                await storm.rage(
                    [asked.reads, asked.gets, asked.runs, asked.sets], CALLS
                )

            assert storm.outcomes["Unavailable"], storm.outcomes
            assert storm.outcomes["answered"] > 50, storm.outcomes
            await eventually(client.ping)
            await asyncio.gather(*(asked.sets(f"last-{n}") for n in range(64)))


@pytest.mark.parametrize("patience", [2.0, 0.02], ids=["patient", "hasty"])
async def test_a_round_trip_that_is_given_up_spoils_no_connection(
    patience: float,
) -> None:
    """The node itself, under callers who are cancelled, or time out, in the middle."""
    async with behind_proxy(LATENCY) as (settings, proxy):
        before = await connections()
        few = replace(settings, max_connections=8, socket_timeout=patience)
        node = SingleNode(settings=few, epochs=Epochs())
        random = Random(SEED)

        async def asks(owner: str) -> None:
            names = [f"known-{random.randrange(OWNERS)}" for _ in range(3)]
            answer = await node.exchange(
                [
                    ("MGET", *map(key, names)),
                    ("ECHO", owner),
                    ("GET", key(names[0])),
                ]
            )
            values = [name.encode() for name in names]
            assert answer == [values, owner.encode(), values[0]]

        storm = Storm(seed=SEED, in_flight=32, longest=0.05, expected=(TimeoutError,))
        async with now_in_time_now_too_late(proxy):
            await storm.rage([asks], CALLS)

        assert storm.is_both(), storm.outcomes
        assert bool(storm.outcomes["TimeoutError"]) is (patience < 1), storm.outcomes
        assert await connections() - before <= few.max_connections
        await asyncio.gather(*(asks(f"last-{number}") for number in range(64)))
        await node.close()
        await eventually(lambda: are(before))


@asynccontextmanager
async def now_in_time_now_too_late(proxy: FaultProxy) -> AsyncIterator[None]:
    """Replies take longer than a hasty caller waits, every now and then."""
    random = Random(SEED)
    is_over = asyncio.Event()

    async def vary() -> None:
        while not is_over.is_set():
            proxy.delay(random.choice((LATENCY, LATENCY, 0.015)))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await is_over.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(vary())
        yield
        is_over.set()
    proxy.delay(0)
