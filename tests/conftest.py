"""What every test lane shares: the engines, stopped when the last test has run."""

import asyncio

from chassis.testing import stop_engines


def pytest_sessionfinish() -> None:
    asyncio.run(stop_engines())
