"""From the wire bytes of an answer to its JSON.

One writer per message, compiled from the descriptor: upb parses, a table of fields
converts, orjson writes. It is as fast as protobuf-py and leaves room for ready JSON
fragments; tests hold it against json_format.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from . import fields
from .image import Image

Convert = Callable[[Any], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FLOAT32 = struct.Struct("<f")


class JsonWriter:
    """Canonical proto3 JSON of one message: lowerCamelCase, defaults left out."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._parse = Image.message_class(descriptor).FromString
        self._convert = _message(descriptor, {})

    def parse(self, wire: bytes) -> Message:
        return self._parse(wire)

    def value(self, message: Message) -> Any:
        """What json.loads would make of the JSON."""
        return self._convert(message)

    def write(self, message: Message) -> bytes:
        return orjson.dumps(self._convert(message))


def _message(descriptor: Descriptor, known: dict[str, Convert]) -> Convert:
    name = descriptor.full_name
    if name == "google.protobuf.Timestamp":
        return _timestamp
    if name == "google.protobuf.Duration":
        return _duration
    if name.startswith("google.protobuf."):
        # Rare in answers: FieldMask, wrappers, Struct.
        return _well_known
    if name in known:
        return known[name]

    table: dict[int, tuple[str, Convert | None]] = {}

    def convert(message: Message) -> dict[str, Any]:
        written = {}
        for field, value in message.ListFields():
            json_name, inner = table[field.number]
            written[json_name] = value if inner is None else inner(value)
        return written

    # Before its fields, so that a message may hold itself.
    known[name] = convert
    for field in descriptor.fields:
        table[field.number] = (field.json_name, _field(field, known))
    return convert


def _field(field: FieldDescriptor, known: dict[str, Convert]) -> Convert | None:
    if fields.is_map(field):
        return _map(field, known)
    single = _single(field, known)
    if not field.is_repeated:
        return single
    if single is None:
        return list
    one = single
    return lambda values: [one(value) for value in values]


def _map(field: FieldDescriptor, known: dict[str, Convert]) -> Convert:
    entry = fields.inside(field).fields_by_name
    is_bool = entry["key"].type == FieldDescriptor.TYPE_BOOL
    key: Convert = (lambda value: "true" if value else "false") if is_bool else str
    inside = _single(entry["value"], known)
    one: Convert = inside if inside is not None else (lambda value: value)
    return lambda values: {key(name): one(values[name]) for name in values}


def _single(field: FieldDescriptor, known: dict[str, Convert]) -> Convert | None:
    """How a value is written; None when it stays as it is."""
    if field.message_type is not None:
        return _message(field.message_type, known)
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type in fields.LONG:
        return str
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return _double
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return _float
    return None


def _enum(enum: EnumDescriptor) -> Convert:
    # The first name of a number, where it has several.
    names = {value.number: value.name for value in reversed(enum.values)}
    return lambda number: names.get(number, number)


def _double(value: float) -> Any:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _float(value: float) -> Any:
    """The shortest number that reads back as the same 32 bits."""
    if not math.isfinite(value):
        return _double(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if FLOAT32.unpack(FLOAT32.pack(short))[0] == value:
            return short
    return float(f"{value:.9g}")


def _timestamp(value: Any) -> str:
    return f"{_second(value.seconds)}{_fraction(value.nanos)}Z"


# The same moments come again and again: posts and people are read more than once.
@lru_cache(maxsize=8192)
def _second(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def _duration(value: Any) -> str:
    seconds, nanos = value.seconds, value.nanos
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    if nanos % 1_000_000 == 0:
        return f".{nanos // 1_000_000:03d}"
    if nanos % 1_000 == 0:
        return f".{nanos // 1_000:06d}"
    return f".{nanos:09d}"


def _well_known(value: Message) -> Any:
    return json_format.MessageToDict(value)


def messages_within(descriptor: Descriptor) -> Iterator[Descriptor]:
    """The message and every message that its fields lead to, each once."""
    pending, seen = [descriptor], {descriptor.full_name}
    while pending:
        here = pending.pop()
        yield here
        for field in here.fields:
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                pending.append(inner)
