"""JSON schemas of messages, for the OpenAPI document.

Names, types and rules come from the descriptors: field_behavior, protovalidate's
rules and the comments of the contract.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from buf.validate import validate_pb2

from . import fields
from .image import Image

Schema = dict[str, Any]

BEHAVIOR: Any = field_behavior_pb2.field_behavior
RULES: Any = validate_pb2.field

OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY
INPUT_ONLY = field_behavior_pb2.INPUT_ONLY
REQUIRED = field_behavior_pb2.REQUIRED

TEXTS: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "examples": ["3.5s"],
    },
    "google.protobuf.FieldMask": {
        "type": "string",
        "description": "Names of fields, lowerCamelCase, comma-separated.",
    },
}
BOUNDS = {
    "gt": "exclusiveMinimum",
    "gte": "minimum",
    "lt": "exclusiveMaximum",
    "lte": "maximum",
}
WORDS = {"gt": "above", "gte": "at least", "lt": "below", "lte": "at most"}


class Schemas:
    """Collects the schemas that a document refers to, by name of their message."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.components: dict[str, Schema] = {}

    def reference(self, descriptor: Descriptor) -> Schema:
        """A reference to the message's schema, which is collected."""
        name = descriptor.full_name.removeprefix("feedmesh.")
        if name not in self.components:
            # In its place first: a message may hold itself.
            self.components[name] = {}
            self.components[name] = self.message(descriptor)
        return {"$ref": f"#/components/schemas/{name}"}

    def message(
        self,
        descriptor: Descriptor,
        *,
        without: Collection[FieldDescriptor] = (),
        writable: bool = False,
    ) -> Schema:
        """The message as an object. writable leaves out what only answers hold."""
        shown = [
            field
            for field in descriptor.fields
            if field not in without
            and not (writable and OUTPUT_ONLY in self._behavior(field))
        ]
        schema: Schema = {
            "type": "object",
            "description": self.comment(descriptor.full_name),
            "properties": {field.json_name: self.field(field) for field in shown},
        }
        required = [f.json_name for f in shown if REQUIRED in self._behavior(f)]
        if required:
            schema["required"] = required
        if writable:
            schema["additionalProperties"] = False
        return schema

    def field(self, field: FieldDescriptor) -> Schema:
        """One property: its type, its rules, its comment."""
        rules = self._image.field_options(field.full_name).Extensions[RULES]
        if fields.is_map(field):
            value = fields.inside(field).fields_by_name["value"]
            schema: Schema = {
                "type": "object",
                "additionalProperties": self._single(value, validate_pb2.FieldRules()),
            }
        elif field.is_repeated:
            items = self._single(field, rules.repeated.items)
            schema = {"type": "array", "items": items, **_list_rules(rules)}
        else:
            schema = self._single(field, rules)
        return self._described(schema, field)

    def enum(self, enum: EnumDescriptor) -> Schema:
        name = enum.full_name.removeprefix("feedmesh.")
        if name not in self.components:
            values = [f"- {v.name}: {self._value(enum, v.name)}" for v in enum.values]
            self.components[name] = {
                "type": "string",
                "description": "\n".join(
                    [self.comment(enum.full_name), "", *values]
                ).strip(),
                "enum": [value.name for value in enum.values],
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def comment(self, full_name: str) -> str:
        return self._image.comments.get(full_name, "")

    def is_required(self, field: FieldDescriptor) -> bool:
        return REQUIRED in self._behavior(field)

    def _single(self, field: FieldDescriptor, rules: Any) -> Schema:
        if field.message_type is not None:
            text = TEXTS.get(field.message_type.full_name)
            return dict(text) if text else self.reference(field.message_type)
        if field.enum_type is not None:
            return self.enum(field.enum_type)
        if field.type in fields.RANGES:
            return _integer(field, rules)
        if field.type in fields.FLOATS:
            return {"type": "number", "format": "double"}
        if field.type == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return _string(rules)

    def _described(self, schema: Schema, field: FieldDescriptor) -> Schema:
        behavior = self._behavior(field)
        told = [self.comment(field.full_name), schema.get("description", "")]
        described = " ".join(part for part in told if part)
        extra: Schema = {"description": described} if described else {}
        if OUTPUT_ONLY in behavior:
            extra["readOnly"] = True
        if INPUT_ONLY in behavior:
            extra["writeOnly"] = True
        return {**schema, **extra}

    def _behavior(self, field: FieldDescriptor) -> Iterable[int]:
        options = self._image.field_options(field.full_name)
        behavior: Iterable[int] = options.Extensions[BEHAVIOR]
        return behavior

    def _value(self, enum: EnumDescriptor, name: str) -> str:
        comment = self.comment(f"{enum.full_name}.{name}")
        return " ".join(comment.split())


def _integer(field: FieldDescriptor, rules: Any) -> Schema:
    kind = rules.WhichOneof("type")
    own = getattr(rules, kind) if kind else None
    bounds = {
        name: getattr(own, name)
        for name in BOUNDS
        if own is not None and own.HasField(name)
    }
    if field.type in fields.LONG:
        # A text in JSON: bounds can only be told.
        schema: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}
        if bounds:
            told = " and ".join(f"{WORDS[n]} {value}" for n, value in bounds.items())
            schema["description"] = f"A whole number {told}."
        return schema
    return {
        "type": "integer",
        "format": "int32",
        **{BOUNDS[name]: value for name, value in bounds.items()},
    }


def _string(rules: Any) -> Schema:
    schema: Schema = {"type": "string"}
    own = rules.string
    for name, word in (
        ("min_len", "minLength"),
        ("max_len", "maxLength"),
        ("pattern", "pattern"),
    ):
        if own.HasField(name):
            schema[word] = getattr(own, name)
    return schema


def _list_rules(rules: Any) -> Schema:
    own = rules.repeated
    schema: Schema = {}
    if own.HasField("min_items"):
        schema["minItems"] = own.min_items
    if own.HasField("max_items"):
        schema["maxItems"] = own.max_items
    if own.unique:
        schema["uniqueItems"] = True
    return schema
