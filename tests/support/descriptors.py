"""Messages and services that the contract does not have, for what it may have later."""

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    timestamp_pb2,
)
from google.protobuf.descriptor import Descriptor

Field = descriptor_pb2.FieldDescriptorProto

WELL_KNOWN = (timestamp_pb2, duration_pb2, field_mask_pb2)

SCALARS = (
    "double",
    "float",
    "int64",
    "uint64",
    "int32",
    "fixed64",
    "fixed32",
    "bool",
    "string",
    "bytes",
    "uint32",
    "sfixed32",
    "sfixed64",
    "sint32",
    "sint64",
)


def every_kind() -> Descriptor:
    """A message with every kind of field, alone, repeated and in maps."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name="every_kind.proto", package="test.kinds", syntax="proto3"
    )
    for known in WELL_KNOWN:
        proto = descriptor_pb2.FileDescriptorProto()
        known.DESCRIPTOR.CopyToProto(proto)
        pool.Add(proto)
        file.dependency.append(proto.name)
    color = file.enum_type.add(name="Color")
    for number, name in enumerate(("COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE")):
        color.value.add(name=name, number=number)

    message = file.message_type.add(name="Every")
    kinds = [(name, getattr(Field, f"TYPE_{name.upper()}"), "") for name in SCALARS]
    kinds += [
        ("enum", Field.TYPE_ENUM, ".test.kinds.Color"),
        ("self", Field.TYPE_MESSAGE, ".test.kinds.Every"),
        ("time", Field.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
        ("span", Field.TYPE_MESSAGE, ".google.protobuf.Duration"),
        ("mask", Field.TYPE_MESSAGE, ".google.protobuf.FieldMask"),
    ]
    for name, kind, of in kinds:
        _add(message, f"one_{name}", kind, of)
        _add(message, f"some_{name}", kind, of, repeated=True)
        _map(message, f"by_{name}", kind, of)
    for name in ("int64", "bool", "uint32"):
        key = getattr(Field, f"TYPE_{name.upper()}")
        _map(message, f"from_{name}", Field.TYPE_STRING, "", key=key)
    pool.Add(file)
    return pool.FindMessageTypeByName("test.kinds.Every")


def _add(
    message: descriptor_pb2.DescriptorProto,
    name: str,
    kind: Field.Type.ValueType,
    of: str,
    *,
    repeated: bool = False,
) -> None:
    message.field.add(
        name=name,
        number=len(message.field) + 1,
        type=kind,
        label=Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL,
        **({"type_name": of} if of else {}),
    )


def _map(
    message: descriptor_pb2.DescriptorProto,
    name: str,
    kind: Field.Type.ValueType,
    of: str,
    *,
    key: Field.Type.ValueType = Field.TYPE_STRING,
) -> None:
    camel = "".join(part.capitalize() for part in name.split("_"))
    entry = message.nested_type.add(name=f"{camel}Entry")
    entry.options.map_entry = True
    _add(entry, "key", key, "")
    _add(entry, "value", kind, of)
    inside = f".test.kinds.Every.{entry.name}"
    _add(message, name, Field.TYPE_MESSAGE, inside, repeated=True)
