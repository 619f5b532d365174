"""JSON bodies against the message they are to fill, before they fill it.

Every finding is kept, so that an answer names all that is wrong. What passes goes to
json_format, whose own complaints name no field.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis.errors import InvalidArgument, Violation

from . import fields
from .scan import MAX_DEPTH

MAX_VIOLATIONS = 50


def fill(message: Message, value: Any) -> None:
    """Fills a message from a JSON value that check has passed."""
    try:
        json_format.ParseDict(value, message, max_recursion_depth=MAX_DEPTH)
    except json_format.ParseError as bad:
        raise InvalidArgument(
            "BODY_INVALID",
            f"The body is not the JSON of {message.DESCRIPTOR.name}.",
            violations=[Violation("", str(bad)[:200])],
        ) from None


def check(value: Any, descriptor: Descriptor, prefix: str = "") -> list[Violation]:
    """What is wrong with a JSON value as a message: names, doubles, types."""
    found: list[Violation] = []
    _message(value, descriptor, prefix, found)
    return found[:MAX_VIOLATIONS]


def _message(
    value: Any, descriptor: Descriptor, path: str, found: list[Violation]
) -> None:
    if not isinstance(value, dict):
        found.append(Violation(path, "must be an object"))
        return
    known = fields.by_any_name(descriptor)
    seen: set[int] = set()
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        field = known.get(name)
        if field is None:
            found.append(Violation(here[:200], "is no field of the request"))
            continue
        if field.number in seen:
            also = f"{field.json_name} and {field.name} are the same field"
            found.append(Violation(here, also))
        seen.add(field.number)
        if inner is not None:
            _field(inner, field, here, found)


def _field(
    value: Any, field: FieldDescriptor, path: str, found: list[Violation]
) -> None:
    if fields.is_map(field):
        _map(value, field, path, found)
    elif not field.is_repeated:
        _single(value, field, path, found)
    elif not isinstance(value, list):
        found.append(Violation(path, "must be a list"))
    else:
        for index, inner in enumerate(value):
            _single(inner, field, f"{path}[{index}]", found)


def _map(value: Any, field: FieldDescriptor, path: str, found: list[Violation]) -> None:
    if not isinstance(value, dict):
        found.append(Violation(path, "must be an object"))
        return
    inside = fields.inside(field).fields_by_name["value"]
    for key, inner in value.items():
        _single(inner, inside, f"{path}[{key}]", found)


def _single(
    value: Any, field: FieldDescriptor, path: str, found: list[Violation]
) -> None:
    if field.message_type is not None and not fields.is_textual(field):
        _message(value, field.message_type, path, found)
        return
    try:
        _scalar(value, field)
    except fields.NotOfType as wrong:
        found.append(Violation(path, str(wrong)))


def _scalar(value: Any, field: FieldDescriptor) -> None:
    """Raises NotOfType unless the JSON value is one that the field takes."""
    kind = field.type
    if kind == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise fields.NotOfType("must be true or false")
    elif kind in fields.RANGES:
        _number(value, field)
    elif kind in fields.FLOATS and _is_number(value):
        return
    elif field.enum_type is not None and _is_whole(value):
        # A number that has no name yet may come from a newer client; the rules of
        # the field say whether it is taken.
        low, high = fields.INT32
        if not low <= value <= high:
            raise fields.NotOfType(_wanted(field))
    elif not isinstance(value, str):
        raise fields.NotOfType(_wanted(field))
    else:
        fields.reader(field)(value)


def _number(value: Any, field: FieldDescriptor) -> None:
    if isinstance(value, str):
        fields.reader(field)(value)
        return
    low, high = fields.RANGES[field.type]
    if not _is_whole(value) or not low <= value <= high:
        raise fields.NotOfType(f"must be a whole number from {low} to {high}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= fields.EXACT
    return isinstance(value, int) and not isinstance(value, bool)


def _wanted(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return f"must be one of {fields.names(field.enum_type)}"
    if field.type in fields.FLOATS:
        return "must be a number"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "must be base64 text"
    return "must be a text"
