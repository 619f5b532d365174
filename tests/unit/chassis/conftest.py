"""Logs go to one list per test, in place of the terminal."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What was logged so far."""
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured
