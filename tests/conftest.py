"""What every test lane shares: the engines, stopped when the last test has run."""

import asyncio

from chassis.testing import stop_engines

from tests.support import world


def pytest_sessionfinish() -> None:
    asyncio.run(stop_engines())


def pytest_report_header() -> str:
    """Which data the tests of the main job run on."""
    return world.describe()
