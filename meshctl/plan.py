"""Which processes make up a mesh, and what each is told. Pure."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from chassis.embedded.engines import Ports
from chassis.environment import PORTS

from meshctl.layout import Layout

# Package of each room, in the order of their start.
ROOMS = {
    "graph": "svc_graph",
    "rank": "svc_rank",
    "ingest": "svc_ingest",
    "feed": "svc_feed",
    "push": "svc_push",
    "gateway": "gateway_http",
}

# Stopped one group after the other: nobody loses what they call while they drain.
STOP_ORDER = (
    ("gateway_http",),
    ("svc_push", "svc_feed", "svc_ingest"),
    ("svc_graph", "svc_rank"),
)

MAX_WORKERS = 8

# A mesh on a laptop signs people up by the hundred. Whoever breaks into its database
# finds the passwords of made-up people.
DEVELOPMENT = {
    "FEEDMESH_ENV": "dev",
    "FEEDMESH_REFLECTION": "true",
    "FEEDMESH_DRAIN_SECONDS": "10",
    "FEEDMESH_GRAPH_PASSWORD_TIME_COST": "1",
    "FEEDMESH_GRAPH_PASSWORD_MEMORY_KIB": "8192",
    "FEEDMESH_GRAPH_PASSWORD_PARALLELISM": "1",
}


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the mesh."""

    name: str
    """svc_feed, or svc_feed-1 for its second process."""

    package: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    admin_port: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `meshctl up` was asked for."""

    layout: Layout
    offset: int
    http_host: str
    http_port: int
    workers: int

    @property
    def engine_ports(self) -> Ports:
        return Ports().shifted(self.offset)

    @property
    def connections(self) -> int:
        """Connections of Postgres: the pools of all processes take four fifths."""
        return max(200, 60 * self.workers)

    @property
    def targets(self) -> dict[str, str]:
        """The addresses of all processes of each service, by room."""
        return {
            room: ",".join(
                f"127.0.0.1:{self._port(room, worker)}"
                for worker in range(self.workers)
            )
            for room in ROOMS
            if room != "gateway"
        }

    def processes(
        self, engines: Mapping[str, str], environment: Mapping[str, str]
    ) -> list[Process]:
        """All processes, in the order of their start.

        engines holds the addresses by setting ("postgres_url"); what the
        environment says wins over our own defaults.
        """
        env = {
            **DEVELOPMENT,
            "FEEDMESH_SECRETS_DIR": str(self.layout.secrets.absolute()),
            **environment,
            **{f"FEEDMESH_{name.upper()}": url for name, url in engines.items()},
            **{f"FEEDMESH_TARGET_{k.upper()}": v for k, v in self.targets.items()},
            "FEEDMESH_GATEWAY_HOST": self.http_host,
            "FEEDMESH_GATEWAY_REUSE_PORT": str(self.workers > 1).lower(),
            "FEEDMESH_GATEWAY_READY_FILE": str(self.layout.ready.absolute()),
        }
        return [
            self._process(room, worker, env)
            for room in ROOMS
            for worker in range(self.workers)
        ]

    def _process(self, room: str, worker: int, env: Mapping[str, str]) -> Process:
        package = ROOMS[room]
        port = self._port(room, worker)
        admin_port = port + 100 * (worker + 1)
        return Process(
            name=f"{package}-{worker}" if worker else package,
            package=package,
            argv=(
                *(sys.executable, "-m", package),
                *("--port", str(port)),
                *("--admin-port", str(admin_port)),
                *("--worker", str(worker)),
            ),
            env=env,
            port=port,
            admin_port=admin_port,
        )

    def _port(self, room: str, worker: int) -> int:
        if room == "gateway":
            # All processes of the gateway share one port.
            return self.http_port
        return PORTS[room] + self.offset + 10 * worker
