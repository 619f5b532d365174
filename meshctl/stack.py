"""A mesh on this machine from start to drain: engines, databases, processes."""

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from chassis import migrate, secrets
from chassis.embedded.engines import NAMES, EngineError, Engines, open_engines
from chassis.errors import MeshError
from chassis.tasks import beside

from meshctl import web
from meshctl.children import FEW, Child, Say, StartFailed, open_children
from meshctl.layout import Layout
from meshctl.plan import ROOMS, Plan
from meshctl.ports import LOOPBACK, holding_ports, reachable

# For one process to become ready.
READY_SECONDS = 60.0
_POLL = 0.05


@contextlib.contextmanager
def holding(layout: Layout) -> Iterator[bool]:
    """Be the one mesh of a folder; the value is whether the last one was killed."""
    layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.logs.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        pid = layout.pid_file.read_text().strip() if layout.pid_file.exists() else "?"
        raise StartFailed(
            f"a mesh is already running in {layout.data} (pid {pid});"
            " stop it, or take another folder with --data"
        ) from None
    was_killed = layout.pid_file.exists()
    layout.ready.unlink(missing_ok=True)
    layout.pid_file.write_text(f"{os.getpid()}\n")
    try:
        yield was_killed
    finally:
        layout.ready.unlink(missing_ok=True)
        layout.pid_file.unlink(missing_ok=True)
        os.close(lock)


@contextlib.asynccontextmanager
async def running(
    plan: Plan, environment: Mapping[str, str], *, say: Say
) -> AsyncIterator[Sequence[Child]]:
    """All of the mesh, ready for calls; not announced yet. StartFailed says why not."""
    with holding(plan.layout) as was_killed:
        outside = _outside(environment)
        if "FEEDMESH_SECRETS_DIR" not in environment:
            secrets.create_development(plan.layout.secrets)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(
                holding_ports(
                    plan,
                    embedded=len(outside) < len(NAMES),
                    was_killed=was_killed,
                    say=say,
                )
            )
            urls = await stack.enter_async_context(_engines(plan, outside, say=say))
            await _databases(urls["postgres_url"], say=say)
            children = await stack.enter_async_context(
                open_children(
                    plan.processes(urls, environment), logs=plan.layout.logs, say=say
                )
            )
            await asyncio.gather(
                *(_until_ready(child, plan, say=say) for child in children)
            )
            await _until_connected(plan)
            yield children


def announce(plan: Plan) -> None:
    """From now on the gateway calls itself ready."""
    plan.layout.ready.touch()


def _outside(environment: Mapping[str, str]) -> dict[str, str]:
    """Engines that are somebody else's, by setting."""
    names = [f"{name}_url" for name in NAMES]
    return {
        name: environment[f"FEEDMESH_{name.upper()}"]
        for name in names
        if f"FEEDMESH_{name.upper()}" in environment
    }


@contextlib.asynccontextmanager
async def _engines(
    plan: Plan, outside: Mapping[str, str], *, say: Say
) -> AsyncIterator[dict[str, str]]:
    """The addresses of all engines, by setting; ours run meanwhile."""
    ours = tuple(name for name in NAMES if f"{name}_url" not in outside)
    if not ours:
        yield dict(outside)
        return
    with contextlib.ExitStack() as stack:
        opening = asyncio.get_running_loop().run_in_executor(
            None,
            stack.enter_context,
            open_engines(
                plan.layout.engines,
                plan.engine_ports,
                only=ours,
                connections=plan.connections,
            ),
        )
        try:
            # Half-started engines could not be stopped: they are waited for.
            engines = await asyncio.shield(opening)
        except EngineError as error:
            raise StartFailed(str(error)) from error
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            raise
        say(f"engines ready: {', '.join(ours)}")
        try:
            async with beside(_keep_up(engines, ours, say)):
                yield dict(outside) | {
                    f"{name}_url": str(getattr(engines, f"{name}_url")) for name in ours
                }
        finally:
            await asyncio.to_thread(stack.close)


async def _keep_up(engines: Engines, names: Sequence[str], say: Say) -> None:
    """Starts an engine again when it dies."""
    while True:
        await asyncio.sleep(0.25)
        for name in names:
            if not engines.is_running(name):
                say(f"{name} ended; it starts again")
                try:
                    await asyncio.to_thread(engines.start, name)
                except EngineError as error:
                    say(str(error))
                    await asyncio.sleep(1)


async def _databases(server: str, *, say: Say) -> None:
    """A database for each room that has migrations, brought up to date."""
    rooms = [room for room in ROOMS.values() if migrate.load(room)]
    url = urlsplit(server)
    try:
        applied = await asyncio.gather(
            *(
                migrate.migrate(urlunsplit(url._replace(path=f"/{room}")), room)
                for room in rooms
            )
        )
    except (OSError, asyncpg.PostgresError, MeshError) as error:
        raise StartFailed(f"postgres at {url.hostname}:{url.port}: {error}") from error
    if new := sum(map(len, applied)):
        say(f"databases ready: {new} migrations for {len(rooms)} services")


async def _until_ready(child: Child, plan: Plan, *, say: Say) -> None:
    """Waits for /readyz of one process. StartFailed when it keeps dying instead."""
    process = child.process
    host = reachable(plan) if process.package == "gateway_http" else LOOPBACK
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_SECONDS
    while True:
        with contextlib.suppress(OSError):
            status, _ = await web.get(host, process.admin_port, "/readyz")
            if status == 200:
                say(f"{process.name} ready on port {process.port}")
                return
        is_hopeless = child.failures >= FEW or child.is_misconfigured
        if is_hopeless or loop.time() > deadline:
            why = "keeps ending" if is_hopeless else "does not get ready"
            raise StartFailed(
                f"{process.name} {why}; the end of {child.log}:\n{child.last_words()}"
            )
        await asyncio.sleep(_POLL)


async def _until_connected(plan: Plan) -> None:
    """Waits until the gateway reaches every service."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_SECONDS
    answer = ""
    while loop.time() < deadline:
        with contextlib.suppress(OSError, ValueError, KeyError):
            _, answer = await web.get(
                reachable(plan), plan.http_port, "/readyz?verbose"
            )
            upstreams = json.loads(answer)["checks"]["upstreams"]
            if all(state == "SERVING" for state in upstreams.values()):
                return
        await asyncio.sleep(_POLL)
    raise StartFailed(f"the gateway does not reach every service: {answer}")
