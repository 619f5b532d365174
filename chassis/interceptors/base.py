"""One kind of interceptor for unary and streaming calls, bound once per method.

A method's handler and the interceptors around it are put together when the server
is built, so that a call costs no lookup and no handler object.
"""

import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import grpc
from grpc.aio import ServicerContext

from chassis.policy import MethodPlan

# Messages of any method: what they are is between the stub and the servicer.
Messages: TypeAlias = Any

# Generic in the types alone.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(slots=True)
class ServerCall:
    """One call being served."""

    path: str
    """/feedmesh.feed.v1.FeedService/GetHomeFeed."""

    plan: MethodPlan | None
    """What the contract says; None for methods such as those of health."""

    decode: Callable[[bytes], Messages]
    """Bytes of a request to its message."""

    context: "ServicerContext[Any, Any]"

    metadata: dict[str, str | bytes] = field(repr=False)
    """What came with the call; tokens too, so it is never shown."""

    request: Messages = field(repr=False)
    """The request, or an iterator over the requests of a stream."""

    is_request_stream: bool
    is_response_stream: bool

    status: str = "OK"
    """Name of the status it ended with, so far."""

    def text(self, key: str) -> str | None:
        """A metadata value that is text."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None


Proceed: TypeAlias = Callable[[ServerCall], Awaitable[Any]]


class Interceptor(ABC):
    """One concern around every call it covers."""

    def covers(self, plan: MethodPlan | None) -> bool:
        """Whether it stands around a method; by default around those of ours."""
        return plan is not None

    @abstractmethod
    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        """Does its part and lets the call proceed, or raises."""


def bind(
    path: str,
    plan: MethodPlan | None,
    handler: Handler,
    interceptors: Sequence[Interceptor],
) -> Handler:
    """A handler with the interceptors around it.

    It takes requests as bytes and decodes them inside, where a request that is not a
    message is refused like any other wrong one. It passes responses that are bytes
    already as they are, and serialises the others.
    """
    serialize = _passing_bytes(handler.response_serializer)
    proceed = _innermost(handler, serialize)
    for interceptor in reversed(interceptors):
        if interceptor.covers(plan):
            proceed = partial(interceptor.intercept, proceed=proceed)
    decode = handler.request_deserializer or bytes
    is_request_stream = handler.request_streaming
    is_response_stream = handler.response_streaming

    async def serve(request: Messages, context: "ServicerContext[Any, Any]") -> Any:
        pairs = context.invocation_metadata() or ()
        call = ServerCall(
            path=path,
            plan=plan,
            decode=decode,
            context=context,
            metadata=dict(pairs),
            request=request,
            is_request_stream=is_request_stream,
            is_response_stream=is_response_stream,
        )
        return await proceed(call)

    return _FACTORIES[is_request_stream, is_response_stream](
        serve, response_serializer=serialize
    )


# Streams are served by coroutines that write, in which a timer or a failure acts at
# any time; a generator is out of reach while its message is being sent.
_FACTORIES: dict[tuple[bool, bool], Callable[..., Handler]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _innermost(handler: Handler, serialize: Callable[[Any], bytes]) -> Proceed:
    behaviour: Callable[..., Any] = next(
        found
        for found in (
            handler.unary_unary,
            handler.unary_stream,
            handler.stream_unary,
            handler.stream_stream,
        )
        if found is not None
    )

    async def answer(call: ServerCall) -> bytes:
        return serialize(await behaviour(call.request, call.context))

    async def stream(call: ServerCall) -> None:
        answers = behaviour(call.request, call.context)
        if inspect.isawaitable(answers):
            # The servicer writes to the context itself.
            await answers
            return
        async with contextlib.aclosing(answers):
            async for message in answers:
                await call.context.write(serialize(message))

    return stream if handler.response_streaming else answer


def _passing_bytes(
    serializer: Callable[[Any], bytes] | None,
) -> Callable[[Any], bytes]:
    def serialize(message: Any) -> bytes:
        if type(message) is bytes or serializer is None:
            ready: bytes = message
            return ready
        return serializer(message)

    return serialize
