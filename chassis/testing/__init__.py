"""What tests of any room stand on: real engines, real servers, no sleeping."""

from chassis.testing.clock import NOON, FakeClock
from chassis.testing.engines import (
    EngineUrls,
    database,
    engines,
    nats,
    stop_engines,
    valkey,
)
from chassis.testing.proxy import FaultProxy, fault_proxy
from chassis.testing.waiting import eventually, refuses

__all__ = [
    "NOON",
    "EngineUrls",
    "FakeClock",
    "FaultProxy",
    "database",
    "engines",
    "eventually",
    "fault_proxy",
    "nats",
    "refuses",
    "stop_engines",
    "valkey",
]
