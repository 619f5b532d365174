"""Requests are messages, and keep the rules that the contract gives their fields."""

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import DecodeError, Message
from protovalidate import Validator, Violation

from chassis import errors
from chassis.errors import InvalidArgument
from chassis.interceptors.base import Interceptor, Proceed, ServerCall
from chassis.policy import MethodPlan

# Enough to mend a form; a request that breaks more rules is not read to its end.
MAX_VIOLATIONS = 50


class Validation(Interceptor):
    """Decodes and validates: the one request of a call, or each of a stream."""

    def __init__(self) -> None:
        self._validator = Validator()

    def covers(self, plan: MethodPlan | None) -> bool:
        return True

    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        if call.is_request_stream:
            call.request = self._each(call, call.request)
        else:
            call.request = self._checked(call, call.request)
        return await proceed(call)

    async def _each(
        self, call: ServerCall, requests: AsyncIterator[bytes]
    ) -> AsyncIterator[Message]:
        async for request in requests:
            yield self._checked(call, request)

    def _checked(self, call: ServerCall, request: Any) -> Message:
        """The message; InvalidArgument when it is none, or breaks its rules."""
        try:
            message: Message = call.decode(request)
        except DecodeError as error:
            raise InvalidArgument(
                "BODY_INVALID", "the request is not a message of its type"
            ) from error
        if call.plan is not None:
            check(self._validator, message)
        return message


def check(validator: Validator, message: Message) -> None:
    """Passes a message that keeps its rules; InvalidArgument names what breaks them."""
    found = validator.collect_violations(message)
    if found:
        raise InvalidArgument(
            "VALIDATION_FAILED",
            "the request breaks the rules of its fields",
            violations=[
                errors.Violation(path_of(violation), violation.proto.message)
                for violation in found[:MAX_VIOLATIONS]
            ],
        )


def path_of(violation: Violation) -> str:
    """Where it is, in proto names: "items[2].handle"; empty for the whole message."""
    field = violation.proto.field
    if field is None:
        return ""
    path = ""
    for element in field.elements:
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
