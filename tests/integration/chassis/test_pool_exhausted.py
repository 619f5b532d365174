"""A pool that has nothing left to lend, and loans that last too long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from time import perf_counter
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from chassis import deadline
from chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from chassis.postgres import Pool, PostgresSettings, open_pool
from chassis.testing import database, eventually, fault_proxy, refuses


class Bench:
    """A small pool, what it counts, and calls that wait for a connection of it."""

    def __init__(
        self, pool: Pool, settings: PostgresSettings, registry: CollectorRegistry
    ) -> None:
        parts = urlsplit(settings.url)
        self.pool = pool
        self.settings = settings
        self.label = f"{parts.hostname}{parts.path}"
        self.registry = registry

    def count(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(name, {"pool": self.label} | labels)
        return found or 0.0

    def failed(self, cause: str) -> float:
        return self.count("postgres_acquire_failed_total", cause=cause)

    def is_open(self) -> bool:
        return self._state("open") == 1

    def was_open(self) -> bool:
        """Ever: a state is exported from the first change on."""
        return self._state("open") is not None

    def _state(self, name: str) -> float | None:
        labels = {"breaker": f"postgres {self.label}", "state": name}
        return self.registry.get_sample_value("breaker_state", labels)

    async def hold(self, stack: AsyncExitStack) -> None:
        """Takes all connections of the pool, until the stack is left."""
        for _ in range(self.settings.max_size):
            tx = await stack.enter_async_context(self.pool.transaction())
            await tx.execute("SELECT 1")

    async def waits(self) -> float:
        """Seconds that a call took to be told that there is no connection."""
        began = perf_counter()
        with pytest.raises((ResourceExhausted, Unavailable)):
            await self.pool.ping()
        return perf_counter() - began

    async def exhausted(self) -> None:
        """Callers come, as they do, until the breaker is open."""
        await eventually(self._ask_in_vain)

    async def _ask_in_vain(self) -> bool:
        await self.waits()
        return self.is_open()


@asynccontextmanager
async def opened(**changes: object) -> AsyncIterator[Bench]:
    registry = CollectorRegistry()
    async with database("chassis") as settings:
        small = replace(settings, max_size=2, acquire_timeout=0.05)
        changed = replace(small, **changes)  # type: ignore[arg-type]  # by name
        async with open_pool(changed, metrics=registry) as pool:
            yield Bench(pool, changed, registry)


async def test_an_exhausted_pool_fails_at_once_and_comes_back_by_itself() -> None:
    """After the time is up nobody waits any more; one release ends it."""
    async with opened(exhausted_seconds=0.3, exhausted_retry_seconds=30) as bench:
        async with AsyncExitStack() as stack:
            await bench.hold(stack)
            assert await bench.waits() >= bench.settings.acquire_timeout
            await bench.exhausted()

            with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
                await bench.pool.ping()
            assert sum([await bench.waits() for _ in range(100)]) < 0.5
        await bench.pool.ping()

        assert not bench.is_open()


async def test_somebody_tries_now_and_then() -> None:
    """Also a pool that nothing comes back to whole is found working again."""
    async with database("chassis") as settings:
        parts = urlsplit(settings.url)
        assert parts.hostname
        assert parts.port
        async with fault_proxy(parts.hostname, parts.port) as proxy:
            netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}"
            through = replace(
                settings,
                url=parts._replace(netloc=netloc).geturl(),
                exhausted_seconds=0.2,
                exhausted_retry_seconds=0.1,
            )
            registry = CollectorRegistry()
            async with open_pool(through, metrics=registry) as pool:
                bench = Bench(pool, through, registry)
                await pool.ping()
                proxy.refuse()
                proxy.reset()
                await bench.exhausted()
                seen = proxy.accepted
                for _ in range(100):
                    await bench.waits()
                assert proxy.accepted - seen < 20
                proxy.heal()

                await eventually(pool.ping)
                assert not bench.is_open()


async def test_a_busy_pool_is_not_an_exhausted_one() -> None:
    """Refusals do not open the breaker while connections come and go."""
    async with opened(exhausted_seconds=0.3, max_size=1) as bench:
        is_over = asyncio.Event()

        async def work() -> None:
            while not is_over.is_set():
                with suppress(ResourceExhausted):
                    await bench.pool.execute("SELECT pg_sleep(0.08)")

        async def ask() -> None:
            while bench.failed("full") < 15:
                with suppress(ResourceExhausted):
                    await bench.pool.ping()
            is_over.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            group.create_task(work())
            group.create_task(ask())

        assert not bench.was_open()


async def test_callers_out_of_time_waited_in_vain_as_well() -> None:
    """Deadlines shorter than the wait for a connection hide no exhaustion."""
    async with (
        opened(exhausted_seconds=0.2, acquire_timeout=5) as bench,
        AsyncExitStack() as stack,
    ):
        await bench.hold(stack)

        async def ask() -> bool:
            with pytest.raises((DeadlineExceeded, ResourceExhausted, Unavailable)):
                async with deadline.limit(0.02):
                    await bench.pool.ping()
            return bench.is_open()

        await eventually(ask)


async def test_callers_who_hang_up_say_nothing_of_the_pool() -> None:
    """They gave up before it was known whether a connection would come."""
    async with (
        opened(exhausted_seconds=0.1, acquire_timeout=5) as bench,
        AsyncExitStack() as stack,
    ):
        await bench.hold(stack)
        for _ in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await bench.pool.ping()

        assert not bench.was_open()


async def test_waits_in_vain_are_measured_too() -> None:
    """A histogram of those who were served alone would look best when all fail."""
    async with opened() as bench, AsyncExitStack() as stack:
        await bench.hold(stack)
        before = bench.count("postgres_acquire_seconds_count")
        await bench.waits()

        assert bench.count("postgres_acquire_seconds_count") == before + 1
        assert bench.failed("full") == 1


async def test_a_leak_is_logged_once_with_where_it_was_taken() -> None:
    """Whoever reads the log finds the line that forgot to give back."""
    async with opened(leak_seconds=0.1) as bench:
        with capture_logs() as logs:
            async with AsyncExitStack() as stack:
                await bench.hold(stack)
                await eventually(
                    lambda: bench.count("postgres_oldest_loan_seconds") > 0.4
                )

        told = [line for line in logs if line["event"] == "connection_leaked"]
        assert len(told) == bench.settings.max_size
        assert {line["pool"] for line in told} == {bench.label}
        for line in told:
            place, function = line["taken_at"].split()
            assert place.rpartition(":")[0] == __file__
            assert function == "Bench.hold"
        assert bench.count("postgres_leaked_total") == bench.settings.max_size
        assert bench.count("postgres_oldest_loan_seconds") == 0


async def test_a_short_loan_is_no_leak() -> None:
    """Only what lasts too long is told of."""
    async with opened(leak_seconds=30) as bench:
        with capture_logs() as logs:
            await bench.pool.ping()

        assert [line["event"] for line in logs] == []
        assert bench.count("postgres_leaked_total") == 0
