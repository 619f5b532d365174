"""A Postgres that is stopped in its tracks: it accepts, and never answers."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from chassis.embedded.engines import Ports, open_engines
from chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.testing import eventually

CALLERS = 40
FROZEN_SECONDS = 4.0
SETTINGS = PostgresSettings(
    url="",
    max_size=4,
    command_timeout=0.5,
    connect_timeout=0.5,
    exhausted_seconds=1.5,
)
# Of one call: the wait for a connection, to connect, to be told nothing.
LONGEST = 0.25 + 0.5 + 0.5
RECOVERY = 10


class Callers:
    """They call again and again, and note how long the longest call took."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.longest = 0.0
        self.ended: list[str] = []
        self.is_over = asyncio.Event()

    async def call(self) -> None:
        while not self.is_over.is_set():
            began = perf_counter()
            try:
                await self._pool.execute("SELECT pg_sleep(0.002)")
                self.ended.append("answered")
            except (DeadlineExceeded, ResourceExhausted, Unavailable) as error:
                self.ended.append(type(error).__name__)
                # As one who was told to come back later.
                await self._turn()
            self.longest = max(self.longest, perf_counter() - began)

    async def _turn(self) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()


async def test_a_frozen_server_piles_nothing_up(tmp_path: Path) -> None:
    """Timeouts fire, calls are shed, then refused at once; and it comes back."""
    registry = CollectorRegistry()
    with open_engines(
        tmp_path, Ports.free(), only=("postgres",), ephemeral=True
    ) as engines:
        settings = replace(SETTINGS, url=engines.postgres_url)
        parts = urlsplit(settings.url)
        label = f"{parts.hostname}{parts.path}"
        async with open_pool(settings, metrics=registry) as pool:
            callers = Callers(pool)

            def count(name: str, **labels: str) -> float:
                labels = {"pool": label} | labels
                return registry.get_sample_value(name, labels) or 0.0

            async def freeze() -> None:
                await eventually(lambda: len(callers.ended) > CALLERS)
                callers.longest = 0.0
                with frozen(engines.pids["postgres"]):
                    until = perf_counter() + FROZEN_SECONDS
                    await eventually(lambda: perf_counter() > until)
                    refused = count("postgres_acquire_failed_total", cause="open")
                    assert refused > CALLERS
                    assert count("postgres_connections_in_use") == 0
                    callers.ended.clear()
                    began = perf_counter()
                await eventually(lambda: "answered" in callers.ended)
                assert perf_counter() - began < RECOVERY
                callers.is_over.set()

            async with asyncio.TaskGroup() as group:
                group.create_task(freeze())
                for _ in range(CALLERS):
                    group.create_task(callers.call())

            assert callers.longest < LONGEST + 1
            assert count("postgres_waiters") == 0
            await eventually(lambda: has_few_backends(settings))


async def has_few_backends(settings: PostgresSettings) -> None:
    connection = await asyncpg.connect(settings.url)
    try:
        count = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1",
            settings.application_name,
        )
    finally:
        await connection.close()
    assert count <= settings.max_size


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process and all that it started stand still."""
    family = [pid]
    for one in family:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            family += map(int, children.read_text().split())
    for one in family:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in family:
            os.kill(one, signal.SIGCONT)
