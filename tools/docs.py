"""Fills the generated tables of docs/ from the contract, the rooms and the settings.

    python tools/docs.py           rewrite the tables and docs/openapi.json
    python tools/docs.py --check   write nothing; fail when one is out of date

A table stands in its page between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.duration_pb2 import Duration
from pydantic_core import PydanticUndefined

from feedmesh.options.v1 import options_pb2

from chassis.settings import ServiceSettings

from gateway_http import image, openapi, routes

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("svc_graph", "svc_ingest", "svc_feed", "svc_rank", "svc_push", "gateway_http")
BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
# A line of an RPC's `Errors:` list.
ERROR_LINE = re.compile(r"^\s*[A-Z_]+ / ([A-Z_]+):", re.MULTILINE)

# Untyped where it comes from.
HTTP: Any = annotations_pb2.http

Files = list[descriptor_pb2.FileDescriptorProto]


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    stale = [path for path, text in fresh() if text != old_text(path)]
    for path, text in fresh():
        if path in stale and check:
            print(f"out of date: {path.name}; run `make gen`", file=sys.stderr)
        elif path in stale:
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


def fresh() -> Iterator[tuple[Path, str]]:
    """Every page that is generated, whole or in part, as it should be."""
    files = contract()
    for page in sorted((ROOT / "docs").glob("*.md")):
        yield page, BLOCK.sub(lambda found: fill(found, files), old_text(page))
    served = image.packaged()
    document = openapi.document(served, routes.build(served))
    pretty = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    yield ROOT / "docs" / "openapi.json", pretty + "\n"


def old_text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def fill(found: re.Match[str], files: Files) -> str:
    head, name, tail = found.groups()
    table = "\n".join(TABLES[name](files))
    return f"{head}\n{table}\n\n{tail}"


def contract() -> Files:
    packed = (ROOT / "chassis" / "image.binpb").read_bytes()
    everything = descriptor_pb2.FileDescriptorSet.FromString(packed).file
    return [file for file in everything if file.name.startswith("feedmesh/")]


def errors(files: Files) -> Iterator[str]:
    """Each reason, what it means, and which RPCs name it."""
    named: dict[str, list[str]] = {}
    for _, method, comment in methods(files):
        for reason in ERROR_LINE.findall(comment):
            named.setdefault(reason, []).append(method.name)
    yield "| reason | what it means | named by |"
    yield "| --- | --- | --- |"
    for file in files:
        for at, enum in enumerate(file.enum_type):
            if enum.name != "ErrorReason":
                continue
            for index, value in enumerate(enum.value[1:], start=1):
                reason = value.name.removeprefix("ERROR_REASON_")
                comment = one_line(comment_at(file, [5, at, 2, index]))
                yield f"| `{reason}` | {comment} | {', '.join(named.get(reason, []))} |"


def deadlines(files: Files) -> Iterator[str]:
    """Each method with its route and its policy."""
    yield "| method | route | audience | deadline | retried | rate class |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for service, method, _ in methods(files):
        policy = method.options.Extensions[options_pb2.method_policy]
        audience = options_pb2.Audience.Name(policy.audience)
        yield (
            f"| {service}.{method.name} | {route(method)} "
            f"| {audience.removeprefix('AUDIENCE_')} | {seconds(policy.deadline)} "
            f"| {'once' if policy.retryable else ''} "
            f"| {getattr(policy.rate, 'class')} |"
        )


def events(files: Files) -> Iterator[str]:
    """Each event with its subject, who publishes it and who consumes it."""
    consumers: dict[str, list[str]] = {}
    for room in ROOMS:
        for handler in handlers(room):
            name = handler.event.DESCRIPTOR.full_name
            consumers.setdefault(name, []).append(f"`{handler.durable}`")
    yield "| event | subject | published by | durables | what it says |"
    yield "| --- | --- | --- | --- | --- |"
    for file in files:
        for at, message in enumerate(file.message_type):
            subject = message.options.Extensions[options_pb2.event].subject
            if not subject:
                continue
            who = ", ".join(consumers.get(f"{file.package}.{message.name}", []))
            comment = one_line(comment_at(file, [4, at]))
            room = f"svc_{file.package.split('.')[1]}"
            yield f"| {message.name} | `{subject}` | {room} | {who} | {comment} |"


def settings(_files: Files) -> Iterator[str]:
    """Each environment variable with its default and its meaning."""
    shared = set(ServiceSettings.model_fields)
    yield from settings_of("every service", ServiceSettings, skip=set())
    for room in ROOMS:
        module = importlib.import_module(f"{room}.settings")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, ServiceSettings) and cls.__module__ == module.__name__:
                yield from settings_of(f"`{room}`", cls, skip=shared)


def settings_of(
    title: str, cls: type[ServiceSettings], *, skip: set[str]
) -> Iterator[str]:
    fields = {
        name: field for name, field in cls.model_fields.items() if name not in skip
    }
    if not fields:
        return
    prefix = f"FEEDMESH_{cls.room.upper()}_" if skip else "FEEDMESH_"
    yield f"\n**{title}**\n"
    yield "| variable | default | meaning |"
    yield "| --- | --- | --- |"
    for name, field in fields.items():
        default = field.get_default(call_default_factory=False)
        shown = "" if default in (None, PydanticUndefined) else f"`{default}`"
        meaning = one_line(field.description or "")
        yield f"| `{prefix}{name.upper()}` | {shown} | {meaning} |"


TABLES: dict[str, Callable[[Files], Iterator[str]]] = {
    "deadlines": deadlines,
    "errors": errors,
    "events": events,
    "settings": settings,
}


def methods(
    files: Files,
) -> Iterator[tuple[str, descriptor_pb2.MethodDescriptorProto, str]]:
    """(service name, method, comment) of every RPC."""
    for file in files:
        for at, service in enumerate(file.service):
            for index, method in enumerate(service.method):
                yield service.name, method, comment_at(file, [6, at, 2, index])


def comment_at(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    for location in file.source_code_info.location:
        if list(location.path) == path:
            return location.leading_comments
    return ""


def handlers(room: str) -> Iterator[Any]:
    """Event consumers of a room: classes with an event and a durable name."""
    if not (ROOT / room / "events.py").exists():
        return
    module: ModuleType = importlib.import_module(f"{room}.events")
    for _, cls in inspect.getmembers(module, inspect.isclass):
        if cls.__module__ == module.__name__ and hasattr(cls, "durable"):
            yield cls


def route(method: descriptor_pb2.MethodDescriptorProto) -> str:
    rule = method.options.Extensions[HTTP]
    verb = rule.WhichOneof("pattern")
    return f"`{verb.upper()} {getattr(rule, verb)}`" if verb else "internal"


def seconds(duration: Duration) -> str:
    whole = duration.seconds + duration.nanos / 1e9
    return f"{whole:g} s" if whole else "none"


def one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
