"""Two Postgres servers, one a streaming standby of the other."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from chassis.embedded import postgres
from chassis.embedded.child import Child
from chassis.embedded.engines import Ports, free_ports, open_engines

CONNECTIONS = 60


@dataclass(frozen=True)
class Pair:
    """The servers, and what can happen to the standby."""

    primary_url: str
    standby_url: str
    standby: Child

    async def pause_replay(self) -> None:
        """From now on the standby receives what is written, and shows none of it."""
        await self.say("SELECT pg_wal_replay_pause()")

    async def resume_replay(self) -> None:
        await self.say("SELECT pg_wal_replay_resume()")

    async def stop_standby(self) -> None:
        await asyncio.to_thread(self.standby.stop)

    async def start_standby(self) -> None:
        await asyncio.to_thread(self.standby.start, timeout=30)

    async def say(self, sql: str) -> None:
        """To the standby itself."""
        connection = await asyncpg.connect(self.standby_url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def at_primary(self, name: str) -> str:
        """Where a database is on the primary."""
        return _placed(self.primary_url, name)

    def at_standby(self, name: str) -> str:
        """Where the same database is on the standby."""
        return _placed(self.standby_url, name)


@asynccontextmanager
async def postgres_pair(folder: Path) -> AsyncIterator[Pair]:
    """Starts both; the standby is a base backup of the primary."""
    async with AsyncExitStack() as stack:
        engines = open_engines(
            folder / "primary",
            Ports.free(),
            only=("postgres",),
            ephemeral=True,
            connections=CONNECTIONS,
        )
        primary = await asyncio.to_thread(engines.__enter__)
        stack.push_async_callback(asyncio.to_thread, engines.__exit__, None, None, None)
        standby = await asyncio.to_thread(_standby, folder, primary.postgres_url)
        stack.push_async_callback(asyncio.to_thread, _remove, standby)
        await asyncio.to_thread(standby.start, timeout=60)
        [port] = standby.program.ports
        # The roles and passwords are the primary's.
        parts = urlsplit(primary.postgres_url)
        credentials = parts.netloc.rpartition("@")[0]
        url = urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
        yield Pair(primary.postgres_url, url, standby)


def _standby(folder: Path, primary_url: str) -> Child:
    at = folder / "standby" / "postgres"
    at.mkdir(parents=True, mode=0o700)
    [port] = free_ports(1)
    program = postgres.program(at, port=port, connections=CONNECTIONS)
    initdb = Path(program.prepare[0])
    backup = [
        str(initdb.with_name("pg_basebackup")),
        f"--pgdata={program.draft}",
        f"--dbname={primary_url}",
        "--write-recovery-conf",
        "--checkpoint=fast",
        "--no-sync",
    ]
    # Not ephemeral: that would not outlive a stop.
    return Child(program=replace(program, prepare=backup), ephemeral=False)


def _remove(standby: Child) -> None:
    standby.stop()
    shutil.rmtree(standby.program.folder)


def _placed(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
