"""Where positions and event names stand in the messages of a stream."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

from chassis.errors import InvalidArgument, Violation

from . import fields
from .fields import FieldPath
from .image import Image, ImageError, Method

POSITION = re.compile(r"[!-~]{1,128}")


class Positions:
    """Reads and sets them, as the StreamPolicy of one method says."""

    def __init__(self, *, image: Image, method: Method) -> None:
        policy = method.policy.stream
        self._request = image.message_class(method.input)
        self._resume = _text(method, method.input, policy.resume_field)
        self._position = _text(method, method.output, policy.position_field)
        self._holder: FieldPath = ()
        self._oneof: OneofDescriptor | None = None
        if policy.event_oneof:
            self._holder, self._oneof = _oneof(method, policy.event_oneof)

    @property
    def can_resume(self) -> bool:
        return self._resume is not None and self._position is not None

    def resumed(self, request: bytes, position: str) -> bytes:
        """The request, going on after a position."""
        if self._resume is None or not position:
            return request
        message = self._request.FromString(request)
        fields.put(message, self._resume, position)
        return message.SerializeToString()

    def check(self, request: bytes, position: str) -> None:
        """Refuses a Last-Event-ID that cannot be one, or that the query contradicts."""
        why = ""
        if self._resume is None or not POSITION.fullmatch(position):
            why = "is no position of this stream"
        else:
            asked = fields.read(self._request.FromString(request), self._resume)
            if asked and asked != position:
                why = f"differs from {fields.dotted(self._resume, json=True)}"
        if why:
            raise InvalidArgument(
                "POSITION_INVALID",
                f"Last-Event-ID {why}.",
                violations=[Violation("Last-Event-ID", why)],
            )

    def position(self, message: Message) -> str:
        return (
            "" if self._position is None else str(fields.read(message, self._position))
        )

    def event(self, message: Message) -> str:
        if self._oneof is None:
            return ""
        holder = fields.read(message, self._holder)
        return holder.WhichOneof(self._oneof.name) or ""


def _text(method: Method, descriptor: Any, name: str) -> FieldPath | None:
    if not name:
        return None
    path = fields.resolve(descriptor, tuple(name.split(".")))
    if path is None or path[-1].type != FieldDescriptor.TYPE_STRING:
        raise ImageError(f"{method.full_name}: {name} is no text field")
    return path


def _oneof(method: Method, name: str) -> tuple[FieldPath, OneofDescriptor]:
    *above, last = name.split(".")
    path = fields.resolve(method.output, tuple(above))
    holder = method.output if not path else fields.inside(path[-1])
    if path is None or last not in holder.oneofs_by_name:
        raise ImageError(f"{method.full_name}: {name} is no oneof")
    return path, holder.oneofs_by_name[last]
