"""How the gateway is put together. Nothing is constructed anywhere else."""

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from grpc.aio import Channel

from chassis import tracing
from chassis.auth import AccessTokens
from chassis.client import open_channel
from chassis.clock import SystemClock
from chassis.limits import DEVELOPMENT, PRODUCTION, RateLimits
from chassis.metrics import Metrics
from chassis.run import App
from chassis.valkey import open_valkey

from . import image, openapi, pages, routes
from .edge import Edge
from .gate import Gate, Marks, Rates
from .health import UpstreamHealth
from .image import Image
from .listener import open_listener
from .positions import Positions
from .routes import Routes
from .settings import GatewaySettings
from .streams import Streams
from .telemetry import HttpMetrics, Spans
from .upstreams import Upstreams


@asynccontextmanager
async def assemble(settings: GatewaySettings) -> AsyncIterator[App]:
    """The gateway, listening."""
    async with AsyncExitStack() as stack:
        contract = image.packaged()
        served = routes.build(contract)
        channels = {
            room: await stack.enter_async_context(
                open_channel(settings.channel(room, as_caller=True))
            )
            for room in sorted({route.method.room for route in served.all})
        }
        valkey = await stack.enter_async_context(open_valkey(settings.valkey))
        classes = DEVELOPMENT if settings.is_generous else PRODUCTION
        # A class of the contract that has no size must not be found out by a caller.
        for name in {route.rate_class for route in served.all if route.rate_class}:
            classes[name]
        health = UpstreamHealth(channels=channels, clock=SystemClock())
        draining = asyncio.Event()
        edge = build_edge(
            settings,
            contract=contract,
            served=served,
            channels=channels,
            health=health,
            marks=valkey,
            rates=RateLimits(valkey, classes),
            draining=draining,
        )
        listener = await stack.enter_async_context(
            open_listener(edge, settings, draining=draining)
        )

        yield App(
            name="gateway_http",
            rpcs={},
            requires_any={
                room: functools.partial(health.require, room) for room in channels
            },
            reports={"valkey": valkey.ping},
            drains=[functools.partial(listener.drain, settings.linger_seconds)],
        )


def build_edge(
    settings: GatewaySettings,
    *,
    contract: Image,
    served: Routes,
    channels: Mapping[str, Channel],
    health: UpstreamHealth,
    marks: Marks,
    rates: Rates,
    draining: asyncio.Event,
) -> Edge:
    """The chain that serves these routes over these channels."""
    clock = SystemClock()
    own = pages.Health(
        upstreams=health, draining=draining, ready_file=settings.ready_file
    )
    return Edge(
        routes=served,
        upstreams=Upstreams(channels),
        gate=Gate(
            tokens=AccessTokens(settings.secrets_dir),
            marks=marks,
            rates=rates,
            clock=clock,
        ),
        streams=Streams(limits=settings.stream_limits, draining=draining),
        positions={
            route.method.path: Positions(image=contract, method=route.method)
            for route in served.all
            if route.method.server_streaming
        },
        pages={
            "/livez": own.live,
            "/readyz": own.ready,
            "/openapi.json": pages.Document(openapi.document(contract, served)),
        },
        limits=settings.limits,
        in_flight=settings.max_concurrent_calls,
        metrics=HttpMetrics(Metrics()),
        spans=Spans(tracing.tracer()),
    )
