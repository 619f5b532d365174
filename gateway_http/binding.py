"""From an HTTP request to the wire bytes of the request message.

Compiled once per route. Path, query, body and headers each fill fields of their own;
what would set a field twice, or sets none, is refused with the name it came under.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from chassis.errors import InvalidArgument, Unauthenticated, Violation

from . import body as json_body
from . import fields, parameters
from .fields import FieldPath
from .image import HttpRule, Image, ImageError, Method
from .scan import scan
from .trie import Template

ME = "me"

BEHAVIOR: Any = field_behavior_pb2.field_behavior
OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY


@dataclass(frozen=True, slots=True)
class Inputs:
    """What of an HTTP request ends up in the message."""

    path: Mapping[tuple[str, ...], str]
    query: bytes
    body: bytes
    user_id: int
    """The caller, for `me`; 0 when nobody is signed in."""

    request_id: str = ""
    """From the header Idempotency-Key."""

    etag: str = ""
    """From the header If-Match."""


class Binding:
    """How one route fills its request message."""

    def __init__(
        self, *, image: Image, method: Method, rule: HttpRule, template: Template
    ) -> None:
        self._image = image
        self._name = method.full_name
        self._message = image.message_class(method.input)
        self._input = method.input
        self._path = {
            variable.path: self._path_field(variable.path)
            for variable in template.variables
        }
        self._body = self._body_field(rule.body)
        self.takes_body = bool(rule.body)
        self.parameters = dict(self._query_fields(rule))
        """Fields that the query may set, by their name in JSON."""

        self._by_name = {
            name: path
            for path in self.parameters.values()
            for name in (fields.dotted(path), fields.dotted(path, json=True))
        }
        self._readers = {
            path: fields.reader(path[-1])
            for path in (*self._by_name.values(), *self._path.values())
        }
        self._mask = self._mask_field(rule)
        self.request_id = self._text_field(("request_id",))
        self.etag = self._text_field(("etag",)) or (
            self._text_field((rule.body, "etag")) if self._body else None
        )

    @property
    def path_fields(self) -> Mapping[tuple[str, ...], FieldPath]:
        return self._path

    @property
    def body_message(self) -> Descriptor | None:
        """What the body is the JSON of."""
        if not self.takes_body:
            return None
        return self._body.message_type if self._body is not None else self._input

    def bind(self, inputs: Inputs) -> bytes:
        """The request, serialised.

        Raises InvalidArgument with a violation for all that is wrong, and
        Unauthenticated where `me` is nobody.
        """
        if not (inputs.query or inputs.body or self.takes_body or self._path):
            return b""
        message = self._message()
        wrong: list[Violation] = []
        mask = self._fill_body(message, inputs.body, wrong)
        self._fill_path(message, inputs, wrong)
        has_mask = self._fill_query(message, inputs.query, wrong)
        if wrong:
            raise _refused("VALIDATION_FAILED", wrong)
        self._fill_headers(message, inputs)
        if mask and self._mask is not None and not has_mask:
            getattr(message, self._mask.name).paths.extend(mask)
        return message.SerializeToString()

    # Filling, in the order of bind.

    def _fill_body(
        self, message: Message, body: bytes, wrong: list[Violation]
    ) -> list[str]:
        """Fills from the body; the paths that the body names, for an update mask."""
        if not self.takes_body:
            if body:
                raise InvalidArgument("BODY_INVALID", "This route takes no body.")
            return []
        value = scan(body) if body.strip() else {}
        target: Any = message
        descriptor = self._input
        if self._body is not None:
            target = getattr(message, self._body.name)
            descriptor = fields.inside(self._body)
            target.SetInParent()
        found = json_body.check(value, descriptor)
        found += self._collisions(value)
        if found:
            raise _refused("BODY_INVALID", found)
        json_body.fill(target, value)
        self._clear_output(target)
        if self._mask is None:
            return []
        return [
            path
            for path in self._named(value, descriptor, "")
            if self.etag is None or path != self.etag[-1].name
        ]

    def _collisions(self, value: Any) -> Iterator[Violation]:
        """Names in the body of fields that the path sets."""
        for path in self._path.values():
            inside = path if self._body is None else path[1:]
            here = value
            for field in inside:
                names = (field.json_name, field.name)
                name = next(
                    (n for n in names if isinstance(here, dict) and n in here), None
                )
                if name is None:
                    break
                here = here[name]
            else:
                name = fields.dotted(inside, json=True)
                yield Violation(name, "is set by the path already")

    def _fill_path(
        self, message: Message, inputs: Inputs, wrong: list[Violation]
    ) -> None:
        for name, text in inputs.path.items():
            path = self._path[name]
            if text == ME and _is_user(path[-1]):
                if not inputs.user_id:
                    raise Unauthenticated("TOKEN_MISSING", "`me` needs a token.")
                fields.put(message, path, inputs.user_id)
                continue
            try:
                fields.put(message, path, self._readers[path](text))
            except fields.NotOfType as bad:
                wrong.append(Violation(fields.dotted(path, json=True), str(bad)))

    def _fill_query(
        self, message: Message, query: bytes, wrong: list[Violation]
    ) -> bool:
        """Fills from the query; whether it names the update mask."""
        if not query:
            return False
        seen: dict[FieldPath, str] = {}
        for name, text in parameters.parsed(query):
            path = self._by_name.get(name)
            if path is None:
                wrong.append(Violation(name[:200], "is no parameter of this route"))
            elif path in seen and not (path[-1].is_repeated and seen[path] == name):
                wrong.append(Violation(name, "is given twice"))
            else:
                seen[path] = name
                try:
                    fields.put(message, path, self._readers[path](text))
                except fields.NotOfType as bad:
                    wrong.append(Violation(name, str(bad)))
        return any(path[-1] is self._mask for path in seen)

    def _fill_headers(self, message: Message, inputs: Inputs) -> None:
        for header, path, text in (
            ("Idempotency-Key", self.request_id, inputs.request_id),
            ("If-Match", self.etag, inputs.etag),
        ):
            if not text or path is None:
                continue
            present = fields.read(message, path)
            if present and present != text:
                why = f"differs from the header {header}"
                name = fields.dotted(path, json=True)
                raise _refused("VALIDATION_FAILED", [Violation(name, why)])
            fields.put(message, path, text)

    def _clear_output(self, message: Message) -> None:
        """Forgets what callers say in fields that only answers hold (AIP-203)."""
        for field, value in message.ListFields():
            if self._is_output(field):
                message.ClearField(field.name)
            elif field.message_type is not None and not fields.is_map(field):
                for inner in value if field.is_repeated else (value,):
                    self._clear_output(inner)

    def _named(self, value: Any, descriptor: Descriptor, prefix: str) -> Iterator[str]:
        known = fields.by_any_name(descriptor)
        for name, inner in value.items():
            field = known[name]
            if self._is_output(field):
                continue
            path = f"{prefix}{field.name}"
            nested = field.message_type is not None and not fields.is_textual(field)
            if nested and isinstance(inner, dict) and not fields.is_map(field):
                yield from self._named(inner, fields.inside(field), f"{path}.")
            else:
                yield path

    def _is_output(self, field: FieldDescriptor) -> bool:
        options = self._image.field_options(field.full_name)
        return OUTPUT_ONLY in options.Extensions[BEHAVIOR]

    # Compiling.

    def _path_field(self, names: tuple[str, ...]) -> FieldPath:
        path = fields.resolve(self._input, names)
        if path is None or path[-1].is_repeated or not fields.is_leaf(path[-1]):
            raise ImageError(f"{self._name}: the path cannot set {'.'.join(names)}")
        return path

    def _body_field(self, name: str) -> FieldDescriptor | None:
        if name in ("", "*"):
            return None
        path = fields.resolve(self._input, (name,))
        if path is None or path[0].message_type is None or path[0].is_repeated:
            raise ImageError(f"{self._name}: {name} cannot be a body")
        return path[0]

    def _query_fields(self, rule: HttpRule) -> Iterator[tuple[str, FieldPath]]:
        if rule.body == "*":
            return
        taken = set(self._path.values())
        for path in parameters.leaves(self._name, self._input, (), rule.body):
            if path not in taken:
                yield fields.dotted(path, json=True), path

    def _mask_field(self, rule: HttpRule) -> FieldDescriptor | None:
        field = fields.by_any_name(self._input).get("update_mask")
        return field if rule.verb == "PATCH" and self._body is not None else None

    def _text_field(self, names: tuple[str, ...]) -> FieldPath | None:
        path = fields.resolve(self._input, names)
        if path is None or path[-1].type != FieldDescriptor.TYPE_STRING:
            return None
        return None if path[-1].is_repeated else path


def _is_user(field: FieldDescriptor) -> bool:
    return field.name == "user_id" and field.type in fields.LONG


def _refused(reason: str, wrong: list[Violation]) -> InvalidArgument:
    first = wrong[0]
    more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return InvalidArgument(
        reason,
        f"{first.field or 'The body'} {first.description}{more}.",
        violations=wrong,
    )
