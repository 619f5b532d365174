"""The reader logs in memory keep the rules, so that other tests may use them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.testing import FakeClock

from svc_push.model import LogLimits
from tests.contract.push_reader_logs_contract import (
    LIMITS,
    Opened,
    ReaderLogsContract,
)
from tests.support.push import MemoryReaderLogs


class TestMemoryReaderLogs(ReaderLogsContract):
    @asynccontextmanager
    async def open_logs(self, limits: LogLimits = LIMITS) -> AsyncIterator[Opened]:
        clock = FakeClock()
        yield Opened(MemoryReaderLogs(clock=clock, limits=limits), clock)
