"""Spans by OpenTelemetry, where a collector is named; else nothing at all.

One provider for each App: channels and servers opened while it is the current one
report to it, so that services which share a process keep names of their own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import ContextVar

import grpc
from opentelemetry import trace

from chassis import context

_provider: ContextVar[trace.TracerProvider | None] = ContextVar(
    "provider", default=None
)


@contextlib.asynccontextmanager
async def configure_tracing(
    service: str, *, endpoint: str | None, sample_ratio: float
) -> AsyncIterator[None]:
    """Sends the spans of what is opened inside to a collector; flushes at the end."""
    if endpoint is None:
        yield
        return

    # A service without a collector does not pay for loading the exporter.
    from chassis import spans  # noqa: PLC0415 - see above

    provider = spans.provider(service, endpoint=endpoint, sample_ratio=sample_ratio)
    with tracing_with(provider):
        try:
            yield
        finally:
            await asyncio.to_thread(provider.shutdown)


@contextlib.contextmanager
def tracing_with(provider: trace.TracerProvider) -> Iterator[None]:
    """Makes a provider the one that whatever is opened inside reports to."""
    token = _provider.set(provider)
    try:
        yield
    finally:
        _provider.reset(token)


def tracer() -> trace.Tracer | None:
    """The tracer of the App being assembled; None when no spans are made."""
    provider = _provider.get()
    return None if provider is None else provider.get_tracer("chassis")


def client_interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """What makes a span of every outgoing call; nothing when no spans are made."""
    provider = _provider.get()
    if provider is None:
        return ()
    from chassis import spans  # noqa: PLC0415 - as above

    return spans.client_interceptors(provider)


def server_interceptors() -> Sequence[grpc.aio.ServerInterceptor]:
    """What makes a span of every call served; nothing when no spans are made."""
    provider = _provider.get()
    if provider is None:
        return ()
    from chassis import spans  # noqa: PLC0415 - as above

    return spans.server_interceptors(provider)


def trace_id() -> str:
    """Trace of the current call, in hex; empty when it belongs to none."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        return trace.format_trace_id(span.trace_id)
    return context.traceparent()[3:35]
