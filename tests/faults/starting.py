"""Starting the mesh of a fault run: engines, proxies, and services told of both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chassis.embedded.engines import NAMES, Engines, open_engines

from meshctl import stack as meshctl_stack
from meshctl.layout import Layout
from meshctl.plan import Plan, Process
from tests.faults.mesh import FaultMesh
from tests.faults.proxies import open_proxies
from tests.support.mesh import free_offset

# Who can be killed without an outage.
TWICE = ("svc_feed", "svc_ingest")
WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class FaultPlan(Plan):
    """The plan of `meshctl up --workers 2`, with one process of those who may be
    away for a moment: two cores are to carry all of it."""

    def processes(
        self, engines: Mapping[str, str], environment: Mapping[str, str]
    ) -> list[Process]:
        return [
            process
            for process in super().processes(engines, environment)
            if process.package in TWICE or process.name == process.package
        ]

    @property
    def targets(self) -> dict[str, str]:
        return {
            room: targets if f"svc_{room}" in TWICE else targets.split(",")[0]
            for room, targets in super().targets.items()
        }


@asynccontextmanager
async def running_mesh(folder: Path) -> AsyncIterator[FaultMesh]:
    """Engines, proxies and services below the folder, from ready to gone.

    All of it ends with this process, even when that is killed.
    """
    offset = free_offset()
    plan = FaultPlan(
        layout=Layout(folder),
        offset=offset,
        http_host="127.0.0.1",
        http_port=8080 + offset,
        workers=WORKERS,
    )
    async with AsyncExitStack() as stack:
        engines = await stack.enter_async_context(_engines(plan))
        urls = {name: str(getattr(engines, f"{name}_url")) for name in NAMES}
        proxies = await stack.enter_async_context(open_proxies(urls, plan.targets))
        environment = {
            **{n: v for n, v in os.environ.items() if not n.startswith("FEEDMESH_")},
            # A run is longer than an access token is good for.
            "FEEDMESH_GRAPH_ACCESS_TTL": "PT6H",
            "FEEDMESH_PUSH_HEARTBEAT": "PT3S",
            **{f"FEEDMESH_{name.upper()}_URL": url for name, url in urls.items()},
            **proxies.environment(),
        }
        logged: list[str] = []
        children = await stack.enter_async_context(
            meshctl_stack.running(plan, environment, say=logged.append)
        )
        meshctl_stack.announce(plan)
        yield FaultMesh(plan=plan, engines=engines, proxies=proxies, children=children)


@asynccontextmanager
async def _engines(plan: Plan) -> AsyncIterator[Engines]:
    with ExitStack() as stack:
        opening = asyncio.get_running_loop().run_in_executor(
            None,
            stack.enter_context,
            open_engines(
                plan.layout.engines, plan.engine_ports, connections=plan.connections
            ),
        )
        try:
            yield await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Half-started engines could not be stopped: they are waited for.
            await asyncio.wait([opening])
            raise
        finally:
            await asyncio.shield(
                asyncio.get_running_loop().run_in_executor(None, partial(stack.close))
            )
