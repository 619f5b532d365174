"""What a service is made of, as its wiring hands it over to be run."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from prometheus_client import CollectorRegistry

from chassis import metrics
from chassis.readiness import Check
from chassis.server import Adder

RoleName: TypeAlias = Literal["all", "rpc", "worker"]


class Consumer(Protocol):
    """What run needs of a bus.Consumer."""

    @property
    def durable(self) -> str:
        """Its durable name."""
        ...

    async def run(self) -> None:
        """Consumes until cancelled."""
        ...

    async def drain(self) -> None:
        """Fetches no more, and returns when what was fetched is handled."""
        ...


@dataclass(frozen=True)
class Background:
    """Work that goes on beside the calls, started again when it fails."""

    name: str
    run: Callable[[], Awaitable[None]]
    role: RoleName = "worker"
    """In processes of which role it runs; all for every one."""


@dataclass(frozen=True, kw_only=True)
class App:
    """A service, put together: what it serves, consumes, does and needs."""

    name: str

    rpcs: Mapping[Adder, object]
    """Servicers, by the generated function that adds each; none: no gRPC port."""

    consumers: Sequence[Consumer] = ()
    """Of events, in the worker role."""

    background: Sequence[Background] = ()

    requires_all: Mapping[str, Check] = field(default_factory=dict)
    """Ready only while all of these pass."""

    requires_any: Mapping[str, Check] = field(default_factory=dict)
    """Ready only while one of these passes."""

    reports: Mapping[str, Check] = field(default_factory=dict)
    """Shown by /readyz?verbose, and never a reason to be taken out."""

    drains: Sequence[Callable[[], Awaitable[None]]] = ()
    """Called at shutdown before the server stops: what else is to finish."""

    registry: CollectorRegistry = field(default_factory=metrics.registry)
    """Where its metrics are."""
