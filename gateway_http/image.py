"""The descriptor image of the contract: methods, their HTTP rules, comments.

Descriptors live in a pool of their own, so the gateway needs no generated module of
any domain and cannot clash with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, MethodDescriptor
from google.protobuf.message import Message

from feedmesh.options.v1 import options_pb2

# Fields of google.api.HttpRule that hold a template, by HTTP method.
VERBS = ("get", "put", "post", "delete", "patch")

# Tags of descriptor.proto by which source locations name what they comment on.
FILE_MESSAGE, FILE_ENUM, FILE_SERVICE = 4, 5, 6
MESSAGE_FIELD, MESSAGE_MESSAGE, MESSAGE_ENUM, MESSAGE_ONEOF = 2, 3, 4, 8
SERVICE_METHOD = 2
ENUM_VALUE = 2

HTTP_RULE: Any = annotations_pb2.http


class ImageError(ValueError):
    """The contract asks for something that the gateway cannot serve."""


@dataclass(frozen=True)
class HttpRule:
    """One google.api.http binding of a method."""

    verb: str
    """HTTP method, upper case."""

    template: str
    """Path template as written in the contract."""

    body: str
    """Empty for no body, "*" for the whole request, else a field of it."""

    response_body: str
    """Empty for the whole response, else the field that is answered."""


@dataclass(frozen=True)
class Method:
    """One RPC of the contract."""

    path: str
    """As on the wire: /feedmesh.feed.v1.FeedService/GetHomeFeed."""

    service: str
    """Full name of its service."""

    name: str
    package: str
    input: Descriptor
    output: Descriptor
    policy: options_pb2.MethodPolicy
    idempotency: int
    """descriptor.proto's MethodOptions.IdempotencyLevel."""

    server_streaming: bool
    client_streaming: bool
    rules: tuple[HttpRule, ...]

    @property
    def full_name(self) -> str:
        return f"{self.service}.{self.name}"

    @property
    def room(self) -> str:
        """The upstream that serves it: the domain in feedmesh.<domain>.v1."""
        return self.package.split(".")[1]

    @property
    def changes_nothing(self) -> bool:
        return self.idempotency == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS


class Image:
    """A descriptor image, loaded: methods in the order of the files."""

    def __init__(self, data: bytes) -> None:
        self._files = descriptor_pb2.FileDescriptorSet.FromString(data)
        self._pool = descriptor_pool.DescriptorPool()
        for file in self._files.file:
            self._pool.Add(file)
        self.methods: Sequence[Method] = tuple(self._methods())

    def message(self, full_name: str) -> Descriptor:
        return self._pool.FindMessageTypeByName(full_name)

    def enum(self, full_name: str) -> EnumDescriptor:
        return self._pool.FindEnumTypeByName(full_name)

    @staticmethod
    def message_class(descriptor: Descriptor) -> type[Message]:
        return message_factory.GetMessageClass(descriptor)

    @cached_property
    def comments(self) -> Mapping[str, str]:
        """Leading comments by full name of what they stand above."""
        found: dict[str, str] = {}
        for file in self._files.file:
            for location in file.source_code_info.location:
                if not location.leading_comments:
                    continue
                name = _name_of(file, list(location.path))
                if name:
                    found[name] = _unindented(location.leading_comments)
        return found

    def field_options(self, full_name: str) -> descriptor_pb2.FieldOptions:
        """Options of a field, readable with the extensions known to this process.

        Options read through the private pool would not know them.
        """
        return self._field_options[full_name]

    def message_options(self, full_name: str) -> descriptor_pb2.MessageOptions:
        return self._message_options[full_name]

    @cached_property
    def _field_options(self) -> dict[str, descriptor_pb2.FieldOptions]:
        return {
            f"{name}.{field.name}": field.options
            for name, message in self._messages()
            for field in message.field
        }

    @cached_property
    def _message_options(self) -> dict[str, descriptor_pb2.MessageOptions]:
        return {name: message.options for name, message in self._messages()}

    def _messages(self) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
        pending = [
            (f"{file.package}.{message.name}", message)
            for file in self._files.file
            for message in file.message_type
        ]
        while pending:
            name, message = pending.pop()
            yield name, message
            pending += [
                (f"{name}.{inner.name}", inner) for inner in message.nested_type
            ]

    def _methods(self) -> Iterator[Method]:
        for file in self._files.file:
            for service in file.service:
                full_name = f"{file.package}.{service.name}"
                known = self._pool.FindServiceByName(full_name)
                for proto in service.method:
                    yield _method(
                        file.package, proto, known.methods_by_name[proto.name]
                    )


def packaged() -> Image:
    """The image that this build of feedmesh was generated with."""
    return Image(resources.files("chassis").joinpath("image.binpb").read_bytes())


def _method(
    package: str,
    proto: descriptor_pb2.MethodDescriptorProto,
    known: MethodDescriptor,
) -> Method:
    service = known.containing_service.full_name
    return Method(
        path=f"/{service}/{proto.name}",
        service=service,
        name=proto.name,
        package=package,
        input=known.input_type,
        output=known.output_type,
        policy=proto.options.Extensions[options_pb2.method_policy],
        idempotency=proto.options.idempotency_level,
        server_streaming=proto.server_streaming,
        client_streaming=proto.client_streaming,
        rules=tuple(_rules(proto)),
    )


def _rules(proto: descriptor_pb2.MethodDescriptorProto) -> Iterator[HttpRule]:
    if not proto.options.HasExtension(HTTP_RULE):
        return
    rule = proto.options.Extensions[HTTP_RULE]
    for each in (rule, *rule.additional_bindings):
        if each is not rule and each.additional_bindings:
            raise ImageError(f"{proto.name}: additional_bindings may not nest")
        kind = each.WhichOneof("pattern")
        if kind is None:
            raise ImageError(f"{proto.name}: a google.api.http rule without a pattern")
        if kind == "custom":
            verb, template = each.custom.kind, each.custom.path
        else:
            verb, template = kind.upper(), getattr(each, kind)
        yield HttpRule(verb, template, each.body, each.response_body)


def _name_of(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str | None:
    """Full name of what a source location points at; None for a part of it."""
    if len(path) < 2:
        return None
    kind, index, rest = path[0], path[1], path[2:]
    if kind == FILE_MESSAGE:
        return _within_message(file.package, file.message_type[index], rest)
    if kind == FILE_ENUM:
        return _within_enum(file.package, file.enum_type[index], rest)
    if kind == FILE_SERVICE:
        service = file.service[index]
        name = f"{file.package}.{service.name}"
        if not rest:
            return name
        if len(rest) == 2 and rest[0] == SERVICE_METHOD:
            return f"{name}.{service.method[rest[1]].name}"
    return None


def _within_message(
    scope: str, message: descriptor_pb2.DescriptorProto, path: list[int]
) -> str | None:
    name = f"{scope}.{message.name}"
    if not path:
        return name
    if len(path) < 2:
        return None
    kind, index, rest = path[0], path[1], path[2:]
    if kind == MESSAGE_MESSAGE:
        return _within_message(name, message.nested_type[index], rest)
    if kind == MESSAGE_ENUM:
        return _within_enum(name, message.enum_type[index], rest)
    if rest:
        return None
    if kind == MESSAGE_FIELD:
        return f"{name}.{message.field[index].name}"
    if kind == MESSAGE_ONEOF:
        return f"{name}.{message.oneof_decl[index].name}"
    return None


def _within_enum(
    scope: str, enum: descriptor_pb2.EnumDescriptorProto, path: list[int]
) -> str | None:
    name = f"{scope}.{enum.name}"
    if not path:
        return name
    if len(path) == 2 and path[0] == ENUM_VALUE:
        return f"{name}.{enum.value[path[1]].name}"
    return None


def _unindented(comment: str) -> str:
    return "\n".join(line.removeprefix(" ") for line in comment.splitlines()).strip()
