"""The embedded engines: durable, private, and never left behind."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import nats
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from chassis.embedded import credentials
from chassis.embedded.engines import EngineError, Ports, open_engines
from chassis.testing import eventually

PARENT = Path(__file__).with_name("parent.py")

# Root can be everybody; an ordinary user only themself.
WHO = ["us", "nobody", "no-namespaces"] if os.geteuid() == 0 else ["us"]


@dataclass
class Running:
    """Engines that belong to another process."""

    process: asyncio.subprocess.Process
    facts: dict[str, Any]

    @property
    def pids(self) -> set[int]:
        """The engines, their keepers, and what the engines started."""
        return family(self.process.pid)

    async def kill_parent(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def engines_of_another(folder: Path, who: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PARENT),
        str(folder),
        who,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, "the engines did not start"
    try:
        yield Running(process, json.loads(line))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@pytest.fixture(params=WHO)
def who(request: pytest.FixtureRequest) -> str:
    """As whom the engines' parent runs."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, who: str) -> Path:
    """A data folder below one that only its owner may enter."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    if who == "nobody":
        os.chown(private, credentials.NOBODY, credentials.NOBODY)
    return private / "data"


async def test_promised_durability_is_what_runs(folder: Path, who: str) -> None:
    """What is acknowledged is on the disk, in Postgres and in JetStream."""
    names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
    async with engines_of_another(folder, who) as running:
        postgres = await asyncpg.connect(running.facts["postgres"])
        shown = {name: await postgres.fetchval(f"SHOW {name}") for name in names}
        await postgres.close()
        async with httpx.AsyncClient() as http:
            monitor = f"http://127.0.0.1:{running.facts['monitor']}"
            answer = await http.get(f"{monitor}/jsz", params={"config": 1})

    assert shown == dict.fromkeys(names, "on")
    jetstream = answer.json()["config"]
    assert jetstream["sync_always"] is True
    assert jetstream["store_dir"].startswith(str(folder))


async def test_nothing_outlives_a_killed_parent(folder: Path, who: str) -> None:
    """After kill -9 of the parent all its processes end."""
    async with engines_of_another(folder, who) as running:
        pids = running.pids
        assert pids > set(running.facts["pids"])
        await running.kill_parent()

        await eventually(lambda: not [pid for pid in pids if is_alive(pid)])


async def test_engines_die_with_their_keeper(folder: Path, who: str) -> None:
    """A killed keeper does not leave its engine behind either."""
    async with engines_of_another(folder, who) as running:
        pids = running.pids
        for pid in pids:
            if b"chassis.embedded.keeper" in command_line(pid):
                os.kill(pid, signal.SIGKILL)

        await eventually(lambda: not [pid for pid in pids if is_alive(pid)])


async def test_data_comes_back_after_a_kill(folder: Path, who: str) -> None:
    """The next start finds no lock in its way, and what was acknowledged before."""
    async with engines_of_another(folder, who) as running:
        await write(running.facts)
        await running.kill_parent()
        # At once: the old engines may still be on their way out.
        async with engines_of_another(folder, who) as again:
            assert await read(again.facts) == ("kept", b"kept", b"kept")


async def test_files_are_private(folder: Path, who: str) -> None:
    """Passwords lie in files that only their owner may read, never in argv."""
    async with engines_of_another(folder, who) as running:
        secrets, open_files = await asyncio.to_thread(inspect, folder)
        lines = [command_line(pid).decode() for pid in running.pids]

    assert len(secrets) == 4
    assert not [line for line in lines if any(secret in line for secret in secrets)]
    assert not open_files


async def test_clients_need_the_password(tmp_path: Path) -> None:
    """Another user of the machine reaches the ports, and no more."""
    async with engines_of_another(tmp_path, "us") as running:
        facts = running.facts
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(_with_password(facts["postgres"], "wrong"))
        async with Redis.from_url(_with_password(facts["valkey"], "wrong")) as valkey:
            with pytest.raises(AuthenticationError):
                await valkey.ping()
        assert b"Authorization Violation" in await nats_answer(facts["nats"])


async def test_one_engine_stops_and_starts_again(tmp_path: Path) -> None:
    """An engine that was stopped comes back on its port; the others stay."""

    def cycle() -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        with open_engines(tmp_path, Ports.free(), only=("valkey", "nats")) as engines:
            before = engines.pids
            engines.stop("valkey")
            between = engines.pids
            engines.start("valkey")
            return before, between, engines.pids

    before, between, after = await asyncio.to_thread(cycle)

    assert between["valkey"] == 0
    assert after["valkey"] not in (0, before["valkey"])
    assert before["nats"] == between["nats"] == after["nats"]


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """Somebody else's port is an error that says which."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    ports = Ports(valkey=taken)

    def start() -> None:
        with open_engines(tmp_path, ports, only=("valkey",), timeout=0.2):
            raise AssertionError("it started")

    with pytest.raises(EngineError, match=f"port {taken} is in use"):
        await asyncio.to_thread(start)
    server.close()
    await server.wait_closed()


async def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two engines on the same files would ruin them: the second does not start."""

    def second() -> None:
        with open_engines(tmp_path, Ports.free(), only=("nats",), timeout=0.2):
            raise AssertionError("it started")

    async with engines_of_another(tmp_path, "us"):
        with pytest.raises(EngineError, match="in use by another process"):
            await asyncio.to_thread(second)


async def nats_answer(url: str) -> bytes:
    """What NATS says to somebody who does not know the password."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    await reader.readline()
    writer.write(b'CONNECT {"user":"feedmesh","pass":"wrong","verbose":false}\r\n')
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def write(facts: dict[str, Any]) -> None:
    """Leave something in each engine."""
    postgres = await asyncpg.connect(facts["postgres"])
    await postgres.execute("CREATE TABLE kept AS SELECT 'kept' AS word")
    await postgres.close()
    async with Redis.from_url(facts["valkey"]) as valkey:
        await valkey.set("word", "kept")
    connection = await nats.connect(facts["nats"])
    streams = connection.jetstream()
    await streams.add_stream(name="KEPT", subjects=["kept"])
    await streams.publish("kept", b"kept")
    await connection.close()


async def read(facts: dict[str, Any]) -> tuple[str, bytes, bytes | None]:
    """What is left of it."""
    postgres = await asyncpg.connect(facts["postgres"])
    word: str = await postgres.fetchval("SELECT word FROM kept")
    await postgres.close()
    async with Redis.from_url(facts["valkey"]) as valkey:
        cached = await valkey.get("word")
        assert isinstance(cached, bytes)
    connection = await nats.connect(facts["nats"])
    message = await connection.jetstream().get_msg("KEPT", 1)
    await connection.close()
    return word, cached, message.data


def inspect(folder: Path) -> tuple[list[str], list[Path]]:
    """The passwords, and the files that others than the owner could read."""
    files = list(folder.glob("*/*"))
    return (
        [path.read_text().strip() for path in files if "password" in path.name],
        [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077],
    )


def family(pid: int) -> set[int]:
    """All descendants of a process."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child)} | family(int(child))
    return found


def is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _with_password(url: str, password: str) -> str:
    scheme, rest = url.split("://")
    user = rest.split(":")[0]
    return f"{scheme}://{user}:{password}@{rest.split('@')[1]}"
