"""One mesh for all tests of this lane that do not stop or starve a part of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.mesh import Mesh, running_mesh


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mesh]:
    """A seeded mesh, shared: tests use people of their own."""
    data: Path = tmp_path_factory.mktemp("mesh")
    async with running_mesh(data) as running:
        yield running
