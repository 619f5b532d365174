"""The engines of a test run: real ones, shared by all its tests.

FEEDMESH_POSTGRES_URL, FEEDMESH_VALKEY_URL and FEEDMESH_NATS_URL name outside ones,
made for tests: their Valkey database and their streams are emptied. For each that
is not named an embedded one is started when the first test asks for it. A test that
stops an engine starts its own, with chassis.embedded.engines.open_engines.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import nats as nats_py
from redis.asyncio import Redis

from chassis import migrate
from chassis.embedded.engines import NAMES, Ports, open_engines
from chassis.postgres import PostgresSettings

if TYPE_CHECKING:
    from chassis.bus import NatsSettings
    from chassis.valkey import ValkeySettings


@dataclass(frozen=True, kw_only=True)
class EngineUrls:
    """Where the engines of this run are."""

    postgres: str

    valkey: str

    nats: str


_running = ExitStack()
_urls: EngineUrls | None = None

# Databases that are copied for each test, by room.
_templates: dict[str, str] = {}
_prefix = f"test_{uuid4().hex[:8]}"
_numbers = count()


def engines() -> EngineUrls:
    """The engines of this run, started if need be."""
    global _urls  # noqa: PLW0603 - one set for the whole run, by design
    if _urls is None:
        outside = {
            name: os.environ[f"FEEDMESH_{name.upper()}_URL"]
            for name in NAMES
            if f"FEEDMESH_{name.upper()}_URL" in os.environ
        }
        urls = dict(outside)
        if missing := tuple(name for name in NAMES if name not in outside):
            folder = Path(tempfile.mkdtemp(prefix="feedmesh-engines-"))
            _running.callback(shutil.rmtree, folder, ignore_errors=True)
            embedded = _running.enter_context(
                open_engines(folder, Ports.free(), only=missing, ephemeral=True)
            )
            urls |= {name: getattr(embedded, f"{name}_url") for name in missing}
        _urls = EngineUrls(**urls)
    return _urls


async def stop_engines() -> None:
    """Ends the run: drops what was made on outside engines, stops our own."""
    global _urls  # noqa: PLW0603 - as above
    if _urls is not None:
        for template in _templates.values():
            await _drop(_urls.postgres, template)
    _templates.clear()
    _urls = None
    await asyncio.to_thread(_running.close)


@asynccontextmanager
async def database(room: str) -> AsyncIterator[PostgresSettings]:
    """A fresh database with the migrations of a room: "svc_feed".

    "chassis" has none but those that every room has.
    """
    server = engines().postgres
    if room not in _templates:
        _templates[room] = await _template(server, room)
    name = f"{_prefix}_{room}_{next(_numbers)}"
    await _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{_templates[room]}"')
    try:
        yield PostgresSettings(url=_placed(server, name), min_size=1)
    finally:
        await _drop(server, name)


@asynccontextmanager
async def valkey() -> "AsyncIterator[ValkeySettings]":
    """An empty Valkey database."""
    # Imported here: a test of one engine does without the drivers of the others.
    from chassis.valkey import ValkeySettings  # noqa: PLC0415 - see above

    url = engines().valkey
    async with Redis.from_url(url) as client:
        await client.flushdb()
    yield ValkeySettings(url=url)


@asynccontextmanager
async def nats() -> "AsyncIterator[NatsSettings]":
    """A NATS server without streams."""
    from chassis.bus import NatsSettings  # noqa: PLC0415 - as for Valkey

    url = engines().nats
    connection = await nats_py.connect(url)
    try:
        streams = connection.jetstream()
        for stream in await streams.streams_info():
            assert stream.config.name is not None
            await streams.delete_stream(stream.config.name)
    finally:
        await connection.close()
    yield NatsSettings(url=url)


async def _template(server: str, room: str) -> str:
    name = f"{_prefix}_{room}_template"
    # A package without migrations: the chassis's own always come first.
    package = "chassis.testing" if room == "chassis" else room
    await migrate.migrate(_placed(server, name), package)
    return name


async def _drop(server: str, name: str) -> None:
    await _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(server: str, sql: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _placed(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
