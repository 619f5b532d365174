"""A process that runs the engines until its standard input closes.

    python parent.py FOLDER us|nobody|no-namespaces

It prints their addresses and process ids as a line of JSON when they are ready.
"""

import json
import os
import sys
from pathlib import Path

from chassis.embedded import credentials
from chassis.embedded.engines import Ports, open_engines


def forbid_namespaces() -> None:
    """Be root where a user namespace cannot be made, as in many containers."""
    ready, go = os.pipe(), os.pipe()
    above = os.getpid()
    if os.fork() == 0:
        # The limit belongs to a namespace, so that this takes one, mapped 1:1.
        os.read(ready[0], 1)
        for kind in ("gid_map", "uid_map"):
            Path(f"/proc/{above}/{kind}").write_text("0 0 65536\n")
        os.write(go[1], b"g")
        os._exit(0)
    credentials.enter_namespace()
    os.write(ready[1], b"r")
    os.read(go[0], 1)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def main(folder: Path, who: str) -> None:
    if who == "nobody":
        credentials.become_nobody()
        credentials.keep_only_search()
    elif who == "no-namespaces":
        forbid_namespaces()
    with open_engines(folder, Ports.free()) as engines:
        facts = {
            "postgres": engines.postgres_url,
            "valkey": engines.valkey_url,
            "nats": engines.nats_url,
            "monitor": engines.ports.nats_monitor,
            "pids": list(engines.pids.values()),
        }
        print(json.dumps(facts), flush=True)  # noqa: T201 - how it is asked for
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
