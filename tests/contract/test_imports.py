"""Who may import whom: the table of the rooms, one case for each row.

What is not in the row of a file may not be imported by it. Third-party packages are
named where a row has them; the standard library is everybody's.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("svc_graph", "svc_ingest", "svc_feed", "svc_push", "svc_rank")
SCANNED = ("chassis", "domain", "gateway_http", "meshctl", *ROOMS)

# What no domain module may see.
PURE = ("errors", "paging", "clock", "ids")
# What runs a room and is no part of its rules.
STAYS_OUT = (
    "own.service*",
    "own.convert",
    "own.peers",
    "own.events",
    "own.wiring",
    "own.settings",
    "own.store*",
    "own.hot",
    "own.cached*",
    "own.live",
    "own.meters*",
)


def chassis(*modules: str) -> tuple[str, ...]:
    return tuple(f"chassis.{module}" for module in modules)


@dataclass(frozen=True)
class Row:
    """Files, as patterns, what they may import, and what not even though it fits.

    `own` stands for the room of the file, `own_stubs` for the stubs of its domain.
    """

    files: tuple[str, ...]
    may: tuple[str, ...]
    must_not: tuple[str, ...] = ()
    # Something that has to be caught: where, and what the file would say.
    planted: tuple[str, str] = ("", "")


ROWS = {
    "chassis": Row(
        files=("chassis/*",),
        # Third-party packages are what it is for: it hides them from the rooms.
        may=("chassis", "third_party", "feedmesh.options", "feedmesh.types"),
        must_not=("domain",),
        planted=("chassis/bus.py", "from feedmesh.feed.v1 import feed_pb2"),
    ),
    "domain": Row(
        files=("domain/*",),
        may=("domain",),
        planted=("domain/visibility.py", "from chassis.errors import NotFound"),
    ),
    "domain modules of a room": Row(
        files=("svc_*/*.py",),  # Whatever no other row names.
        may=("own", "domain", "structlog", *chassis(*PURE, "deadline")),
        must_not=STAYS_OUT,
        planted=("svc_feed/home_feed.py", "import grpc"),
    ),
    "ports and model": Row(
        files=("svc_*/ports.py", "svc_*/model.py"),
        may=("own.model", "own.ports", "domain", *chassis(*PURE)),
        planted=("svc_graph/ports.py", "from chassis.postgres import Pool"),
    ),
    "service and convert": Row(
        files=("svc_*/service*.py", "svc_*/convert.py"),
        may=(
            "own",
            "own_stubs",
            "feedmesh.types",
            "domain",
            "google.protobuf",
            "grpc.aio.ServicerContext",
            *chassis("auth", "context", "paging", "errors", "ids"),
        ),
        must_not=tuple(
            name for name in STAYS_OUT if name not in ("own.service*", "own.convert")
        ),
        planted=("svc_ingest/service.py", "from .store import PostgresPosts"),
    ),
    "stores": Row(
        files=("svc_*/store*.py", "svc_*/hot.py"),
        may=(
            "own.model",
            "own.ports",
            "own.store*",
            "own.hot",
            # The form of what lies in hot feeds.
            "own.frames",
            "own_stubs.*.events_pb2",
            # The bytes of a post are stored as they are sent.
            "own_stubs.*.post_pb2",
            "domain",
            "google.protobuf",
            # The type of a row; calls go through chassis.postgres.
            "asyncpg.Record",
            "structlog",
            *chassis("postgres", "shards", "valkey", "valkey_node", "outbox"),
            *chassis("audit", "auth", "context", "idempotency", "freshness", "packed"),
            *chassis("clock", "ids", "errors", "deadline", "retries"),
        ),
        planted=("svc_ingest/store.py", "from .peers import GraphPeer"),
    ),
    "peers": Row(
        files=("svc_*/peers.py",),
        may=(
            "own.model",
            "own.ports",
            "own.frames",
            "domain",
            "stubs",
            "google.protobuf",
            *chassis("client", "breaker", "errors", "clock", "ids"),
        ),
        planted=("svc_feed/peers.py", "from svc_graph.model import Relation"),
    ),
    "events": Row(
        files=("svc_*/events.py",),
        may=("own", "domain", "stubs", *chassis("bus", "errors", "clock", "ids")),
        must_not=(*STAYS_OUT, "feedmesh.*.*_pb2_grpc"),
        planted=("svc_push/events.py", "import nats"),
    ),
    "cached": Row(
        files=("svc_*/cached*.py",),
        may=(
            *("own.model", "own.ports", "own.cached*", "domain"),
            *chassis("cache", "clock", "errors", "ids"),
        ),
        planted=("svc_feed/cached.py", "from .store import PostgresFeedIndex"),
    ),
    "the engine a room wraps": Row(
        # argon2 and the signer, core NATS hints: adapters, as stores are.
        files=("svc_graph/passwords.py", "svc_graph/signing.py", "svc_push/live.py"),
        may=("own.model", "own.ports", "argon2", "orjson", *chassis("auth", "bus")),
        planted=("svc_push/live.py", "import nats"),
    ),
    "meters": Row(
        files=("svc_*/meters*.py",),
        may=(
            *("own.model", "own.ports", "prometheus_client.Counter"),
            *chassis("metrics", "clock", "errors", "ids"),
        ),
        planted=("svc_feed/meters.py", "from prometheus_client import Gauge"),
    ),
    "settings": Row(
        files=("svc_*/settings.py", "svc_*/__main__.py"),
        may=("own", "chassis.settings", "chassis.run", "pydantic", "argon2"),
        must_not=("own.store*", "own.peers", "own.service*"),
        planted=("svc_rank/settings.py", "from chassis.postgres import open_pool"),
    ),
    "wiring": Row(
        files=("svc_*/wiring.py",),
        may=("own", "chassis", "stubs", "argon2"),
        planted=("svc_feed/wiring.py", "from svc_ingest.store import PostgresPosts"),
    ),
    "gateway_http": Row(
        files=("gateway_http/*",),
        may=("gateway_http", "chassis", "third_party", "feedmesh.options"),
        planted=("gateway_http/edge.py", "from feedmesh.graph.v1 import user_pb2"),
    ),
    "meshctl": Row(
        files=("meshctl/*",),
        may=("meshctl", "chassis", "third_party", "stubs", *ROOMS),
        must_not=tuple(
            f"{room}.{name[4:]}"
            for room in ROOMS
            for name in STAYS_OUT
            if name != "own.wiring"
        ),
        planted=("meshctl/seed.py", "from svc_graph.store_users import Accounts"),
    ),
}


def row_of(file: str) -> str:
    """The row of a file; the domain modules are what no other row names."""
    for name, row in ROWS.items():
        if name != "domain modules of a room" and any(
            fnmatch(file, pattern) for pattern in row.files
        ):
            return name
    return "domain modules of a room"


def imported(source: str, file: str) -> Iterator[tuple[str, int]]:
    """Full dotted names that a file imports, with their lines."""
    package = list(Path(file).parent.parts)
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                for name in used(tree, alias):
                    yield name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def used(tree: ast.AST, alias: ast.alias) -> set[str]:
    """What is taken out of an imported module; the module itself where nothing is."""
    name = alias.asname or alias.name
    return {
        f"{alias.name}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == name
    } or {alias.name}


def violations(source: str, file: str) -> list[str]:
    """Imports that the row of a file does not allow."""
    row, room = ROWS[row_of(file)], file.partition("/")[0]
    return [
        f"{file}:{line} imports {name}"
        for name, line in imported(source, file)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not (
            any(fits(name, one, room) for one in row.may)
            and not any(fits(name, one, room) for one in row.must_not)
        )
    ]


def fits(name: str, pattern: str, room: str) -> bool:
    """Whether a dotted name is what a pattern names, or below it."""
    first = name.partition(".")[0]
    if pattern == "third_party":
        return first not in (*SCANNED, "feedmesh", "tests", "bench", "tools")
    if pattern == "stubs":
        return first == "feedmesh"
    own = f"feedmesh.{room.removeprefix('svc_')}"
    if pattern.startswith("own_stubs"):
        pattern = pattern.replace("own_stubs", own, 1)
    elif pattern == "own" or pattern.startswith("own."):
        pattern = pattern.replace("own", room, 1)
    return fnmatch(name, pattern) or fnmatch(name, f"{pattern}.*")


def files_of(row: str) -> list[str]:
    found = (
        str(path.relative_to(ROOT))
        for top in SCANNED
        for path in sorted((ROOT / top).rglob("*.py"))
    )
    return [file for file in found if row_of(file) == row]


@pytest.mark.parametrize("row", ROWS)
def test_imports_keep_to_the_table(row: str) -> None:
    """Each file imports what its row allows, and nothing else."""
    files = files_of(row)

    assert files, "a row that fits no file guards nothing"
    assert [
        bad for file in files for bad in violations((ROOT / file).read_text(), file)
    ] == []


@pytest.mark.parametrize("row", ROWS)
def test_a_planted_import_is_caught(row: str) -> None:
    """A rule that catches nothing would pass everything."""
    file, source = ROWS[row].planted

    assert row_of(file) == row
    assert violations("import asyncio\n" + source, file) != []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("svc_feed/walk.py", "from feedmesh.feed.v1 import feed_pb2"),
        ("svc_feed/walk.py", "def late():\n    import asyncpg"),
        ("svc_feed/walk.py", "from . import store"),
        ("svc_feed/walk.py", "from svc_feed.peers import GraphPeer"),
        ("svc_feed/store.py", "from grpc import StatusCode"),
        ("svc_feed/store.py", "import asyncpg\nasyncpg.connect()"),
        ("svc_feed/store.py", "from feedmesh.ingest.v1 import events_pb2"),
        ("svc_feed/service.py", "from feedmesh.ingest.v1 import post_pb2"),
        ("svc_feed/service.py", "import grpc.aio"),
        ("svc_feed/events.py", "from feedmesh.graph.v1 import graph_pb2_grpc"),
        ("gateway_http/edge.py", "from svc_feed.model import Entry"),
    ],
)
def test_the_usual_shortcuts_are_caught(file: str, source: str) -> None:
    """In whatever form they are written."""
    assert violations(source, file) != []
