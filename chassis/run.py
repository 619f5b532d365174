"""A service from start to end: assemble, serve, drain, close, always in this order.

Shutdown: health says NOT_SERVING, no more events are fetched, what is under way
finishes, the server stops, and resources close in reverse.
"""

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import structlog
import uvloop
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from chassis.admin import open_admin
from chassis.app import App, Background, Consumer, RoleName
from chassis.auth import AccessTokens, InternalIdentity
from chassis.health import Health
from chassis.interceptors import chain
from chassis.interceptors.admission import AdmissionLimiter
from chassis.readiness import Readiness
from chassis.server import build
from chassis.settings import ServiceSettings
from chassis.telemetry import configure_logging, configure_tracing, measuring

__all__ = ["App", "Background", "Consumer", "Running", "main", "running"]

Settings = TypeVar("Settings", bound=ServiceSettings)

Assemble = Callable[[Settings], contextlib.AbstractAsyncContextManager[App]]

log = structlog.get_logger()

# Seconds between the starts of something that keeps failing.
RESTART_AFTER = (0.5, 30.0)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs, and where."""

    port: int
    """Port of calls; 0 when it serves none."""

    admin_port: int
    health: Health | None
    readiness: Readiness


@contextlib.asynccontextmanager
async def running(app: App, settings: ServiceSettings) -> AsyncIterator[Running]:
    """Runs an App inside the block, and drains it at the end."""
    readiness = Readiness(
        requires_all=app.requires_all,
        requires_any=app.requires_any,
        reports=app.reports,
    )
    limiter = AdmissionLimiter(
        calls=settings.max_concurrent_calls, streams=settings.max_concurrent_streams
    )
    server, health, port = _bound(app, settings, limiter)
    failed: Exception | None = None
    async with (
        open_admin(
            host=settings.host,
            port=settings.admin_port,
            registry=app.registry,
            readiness=readiness,
        ) as admin_port,
        asyncio.TaskGroup() as group,
    ):
        work = _work(app, settings.role)
        work["readiness"] = lambda: readiness.watch(health)
        if server is not None and health is not None:
            await health.report(is_ready=False)
            await server.start()
        tasks = [group.create_task(_kept_up(name, run)) for name, run in work.items()]
        try:
            yield Running(port, admin_port, health, readiness)
        except Exception as error:  # noqa: BLE001 - raised again below
            # Raised inside the group it would come out wrapped in one.
            failed = error
        finally:
            await _drain(app, settings, readiness, health)
            limiter.drain()
            if server is not None:
                await server.stop(settings.drain_seconds)
            for task in tasks:
                task.cancel()
    if failed is not None:
        raise failed


def _bound(
    app: App, settings: ServiceSettings, limiter: AdmissionLimiter
) -> tuple[Any, Health | None, int]:
    """The server with its port, not started. A worker serves health alone."""
    if not app.rpcs:
        return None, None, 0
    server, health = build(
        app.rpcs.items() if settings.role != "worker" else (),
        interceptors=chain(
            registry=app.registry,
            identity=InternalIdentity(settings.internal_keys),
            tokens=AccessTokens(settings.secrets_dir),
            limiter=limiter,
        ),
        concurrent=settings.max_concurrent_calls + settings.max_concurrent_streams,
        with_reflection=settings.reflection,
    )
    port = server.add_insecure_port(f"{settings.host}:{settings.port}")
    return server, health, port


def _work(app: App, role: RoleName) -> dict[str, Callable[[], Awaitable[None]]]:
    """What goes on beside the calls in a process of this role, by name."""
    work = {
        job.name: job.run
        for job in app.background
        if "all" in (role, job.role) or job.role == role
    }
    if role != "rpc":
        for consumer in app.consumers:
            work[f"consumer {consumer.durable}"] = consumer.run
    return work


async def _kept_up(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs something until it returns; what it raises is logged, and it starts anew."""
    pause, longest = RESTART_AFTER
    while True:
        try:
            await run()
        except Exception:
            log.exception("background work failed", work=name, again_after=pause)
        else:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)


async def _drain(
    app: App,
    settings: ServiceSettings,
    readiness: Readiness,
    health: Health | None,
) -> None:
    """Up to the point where only calls are still under way."""
    log.info("draining")
    readiness.drain()
    if health is not None:
        await health.drain()
        # Callers see it and go elsewhere before the first call is refused.
        await asyncio.sleep(settings.linger_seconds)
    finish = [hook() for hook in app.drains]
    if settings.role != "rpc":
        finish.extend(consumer.drain() for consumer in app.consumers)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.drain_seconds):
            for outcome in await asyncio.gather(*finish, return_exceptions=True):
                if isinstance(outcome, Exception):
                    log.error("drain failed", exc_info=outcome)


def main(
    settings_type: type[Settings],
    assemble: Assemble[Settings],
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs a service until SIGTERM or SIGINT; exits 0 after a drain.

    Exits 2 when the settings are wrong, 1 when anything else ends it, a second
    signal included.
    """
    try:
        settings = settings_type(**_flags(settings_type, arguments))
    except (ValidationError, ValueError) as error:
        sys.stderr.write(f"{_complaint(error)}\n")
        sys.exit(2)
    configure_logging(settings.service, settings.log_level)
    try:
        code = uvloop.run(_until_signalled(settings, assemble))
    except Exception:
        log.exception("the service failed")
        code = 1
    sys.exit(code)


def _flags(
    settings_type: type[ServiceSettings], arguments: Sequence[str] | None
) -> dict[str, Any]:
    """The settings that can be given as arguments too."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {settings_type.__module__.partition('.')[0]}",
        description="All other settings come from FEEDMESH_ variables.",
    )
    parser.add_argument("--role", choices=("all", "rpc", "worker"))
    for name in ("port", "admin_port", "worker"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    found = vars(parser.parse_args(arguments))
    return {name: value for name, value in found.items() if value is not None}


async def _until_signalled(settings: Settings, assemble: Assemble[Settings]) -> int:
    """The whole life of a service; the exit code."""
    stop = asyncio.Event()
    task = asyncio.current_task()
    is_up = False

    def on_signal(name: str) -> None:
        log.info("signal", name=name)
        if is_up and not stop.is_set():
            stop.set()
        elif task is not None:
            # Not started yet, or asked a second time: at once.
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number.name)
    log.info("starting", **settings.describe())
    try:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(measuring(CollectorRegistry()))
            await stack.enter_async_context(
                configure_tracing(
                    settings.service,
                    endpoint=settings.otel_endpoint,
                    sample_ratio=settings.otel_sample_ratio,
                )
            )
            app = await stack.enter_async_context(assemble(settings))
            up = await stack.enter_async_context(running(app, settings))
            is_up = True
            # What is there from the start stays: the collector need not look at it.
            gc.collect()
            gc.freeze()
            log.info("started", port=up.port, admin_port=up.admin_port)
            await stop.wait()
    except asyncio.CancelledError:
        return 1 if is_up else 0
    log.info("stopped")
    return 0


def _complaint(error: Exception) -> str:
    """What is wrong with the settings, without the values: they may be secret."""
    if not isinstance(error, ValidationError):
        return f"settings: {error}"
    return "\n".join(
        f"settings: {'.'.join(map(str, found['loc']))}: {found['msg']}"
        for found in error.errors(include_input=False, include_url=False)
    )
