"""A servicer over real gRPC on the loopback, behind all its interceptors."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from chassis.app import App
from chassis.client import ChannelSettings, open_channel
from chassis.run import running
from chassis.server import Adder
from chassis.settings import ServiceSettings


@dataclass(frozen=True)
class Served:
    """Where it is served, and how to call it."""

    target: str
    admin_port: int
    channel: grpc.aio.Channel
    """Calls as whoever `calling_as` names: nobody, unless told."""

    called: ChannelSettings
    """How the channel was opened."""

    registry: CollectorRegistry
    settings: ServiceSettings


@asynccontextmanager
async def serving(
    rpcs: Mapping[Adder, object], **changed: Any
) -> AsyncIterator[Served]:
    """Serves servicers, by their add_…_to_server, with settings changed as said."""
    settings = ServiceSettings(
        **{"port": 0, "admin_port": 0, "linger_seconds": 0, "drain_seconds": 5}
        | changed
    )
    app = App(name="served", rpcs=rpcs, registry=CollectorRegistry())
    async with running(app, settings) as up:
        target = f"{settings.host}:{up.port}"
        # One check at once, so that the channel finds it serving.
        assert up.health is not None
        await up.health.report(is_ready=True)
        called = ChannelSettings(
            target=target,
            service="test",
            keys=settings.internal_keys,
            as_caller=True,
        )
        async with open_channel(called, metrics=app.registry) as channel:
            yield Served(target, up.admin_port, channel, called, app.registry, settings)
