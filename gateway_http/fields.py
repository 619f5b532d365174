"""Single fields: their names in JSON and in the contract, and values from text.

Shared by what reads path and query, what checks bodies, and what documents both.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from google.protobuf import duration_pb2, field_mask_pb2, json_format, timestamp_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
# Larger numbers are not exact as JSON numbers with a point or an exponent.
EXACT = 2**53

INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT32 = (0, 2**32 - 1)
UINT64 = (0, 2**64 - 1)

RANGES: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.TYPE_INT32: INT32,
    FieldDescriptor.TYPE_SINT32: INT32,
    FieldDescriptor.TYPE_SFIXED32: INT32,
    FieldDescriptor.TYPE_INT64: INT64,
    FieldDescriptor.TYPE_SINT64: INT64,
    FieldDescriptor.TYPE_SFIXED64: INT64,
    FieldDescriptor.TYPE_UINT32: UINT32,
    FieldDescriptor.TYPE_FIXED32: UINT32,
    FieldDescriptor.TYPE_UINT64: UINT64,
    FieldDescriptor.TYPE_FIXED64: UINT64,
}
LONG = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
    }
)
FLOATS = frozenset({FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT})

# Messages that are one text in JSON, and a class to try a text with.
TEXTUAL: Mapping[str, type[Any]] = {
    "google.protobuf.Timestamp": timestamp_pb2.Timestamp,
    "google.protobuf.Duration": duration_pb2.Duration,
    "google.protobuf.FieldMask": field_mask_pb2.FieldMask,
}

FieldPath = tuple[FieldDescriptor, ...]


def inside(field: FieldDescriptor) -> Descriptor:
    """The message that a message field holds."""
    if field.message_type is None:
        raise TypeError(f"{field.full_name} holds no message")
    return field.message_type


def is_map(field: FieldDescriptor) -> bool:
    entry = field.message_type
    return entry is not None and bool(entry.GetOptions().map_entry)


def is_textual(field: FieldDescriptor) -> bool:
    """Whether the field is a message that JSON and queries write as one text."""
    return field.message_type is not None and field.message_type.full_name in TEXTUAL


@cache
def by_any_name(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Fields by lowerCamelCase name and by name in the contract."""
    return {
        name: field
        for field in descriptor.fields
        for name in (field.name, field.json_name)
    }


def resolve(descriptor: Descriptor, path: tuple[str, ...]) -> FieldPath | None:
    """The fields along a path of names, or None when there is no such leaf."""
    found: list[FieldDescriptor] = []
    here: Descriptor | None = descriptor
    for name in path:
        if here is None:
            return None
        field = by_any_name(here).get(name)
        if field is None:
            return None
        found.append(field)
        stops = field.is_repeated or is_textual(field)
        here = None if stops else field.message_type
    return tuple(found)


def is_leaf(field: FieldDescriptor) -> bool:
    """Whether a query parameter can set the field."""
    return field.message_type is None or is_textual(field)


def dotted(path: FieldPath, *, json: bool = False) -> str:
    return ".".join(field.json_name if json else field.name for field in path)


def json_name(path: str) -> str:
    """A path of the contract's names as JSON spells it: post.create_time."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), path)


class NotOfType(ValueError):
    """The text or the JSON value is none of the field's type. Says what is wanted."""


def reader(field: FieldDescriptor) -> Callable[[str], Any]:
    """What turns a text of path or query into a value of the field."""
    kind = field.type
    if kind in RANGES:
        low, high = RANGES[kind]
        return lambda text: _integer(text, low, high)
    if kind in FLOATS:
        return _float
    if kind == FieldDescriptor.TYPE_BOOL:
        return _bool
    if kind == FieldDescriptor.TYPE_STRING:
        return _string
    if kind == FieldDescriptor.TYPE_BYTES:
        return _bytes
    if field.enum_type is not None:
        enum = field.enum_type
        return lambda text: _enum(text, enum)
    if is_textual(field):
        name = inside(field).full_name
        return lambda text: _textual(text, name)
    raise NotOfType(f"{field.full_name} cannot be read from a text")


def read(message: Message, path: FieldPath) -> Any:
    """The value of the field at the end of the path."""
    here: Any = message
    for field in path:
        here = getattr(here, field.name)
    return here


def put(message: Message, path: FieldPath, value: Any) -> None:
    """Sets the field at the end of the path, or appends to it."""
    target: Any = message
    for field in path[:-1]:
        target = getattr(target, field.name)
    leaf = path[-1]
    if is_textual(leaf):
        place = getattr(target, leaf.name)
        (place.add() if leaf.is_repeated else place).FromJsonString(value)
        if not leaf.is_repeated:
            place.SetInParent()
    elif leaf.is_repeated:
        getattr(target, leaf.name).append(value)
    else:
        setattr(target, leaf.name, value)


def _integer(text: str, low: int, high: int) -> int:
    if not INTEGER.fullmatch(text) or not low <= int(text) <= high:
        raise NotOfType(f"must be a whole number from {low} to {high}")
    return int(text)


def _float(text: str) -> float:
    try:
        value = float(text) if text and text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NotOfType("must be a number")
    return value


def _bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise NotOfType("must be true or false")
    return text == "true"


def _string(text: str) -> str:
    if "\0" in text or "\ufffd" in text:
        raise NotOfType("must be UTF-8 text without NUL")
    return text


def _bytes(text: str) -> bytes:
    """base64, of either alphabet, padded or not."""
    try:
        plain = text.replace("-", "+").replace("_", "/").rstrip("=").encode("ascii")
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise NotOfType("must be base64") from None


def _enum(text: str, enum: EnumDescriptor) -> int:
    value = enum.values_by_name.get(text)
    if value is not None:
        return int(value.number)
    raise NotOfType(f"must be one of {names(enum)}")


def _textual(text: str, name: str) -> str:
    if name == "google.protobuf.FieldMask":
        # Names of the contract are taken as well.
        text = json_name(text)
    try:
        TEXTUAL[name]().FromJsonString(text)
    except (ValueError, json_format.Error):
        short = name.rpartition(".")[2]
        raise NotOfType(f"must be a {short} such as {EXAMPLES[short]}") from None
    return text


EXAMPLES = {
    "Timestamp": '"2026-01-31T12:00:00Z"',
    "Duration": '"3.5s"',
    "FieldMask": '"text,visibility"',
}


def names(enum: EnumDescriptor) -> str:
    return ", ".join(value.name for value in enum.values)
