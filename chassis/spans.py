"""How spans are made and sent: loaded only where there is a collector."""

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import aio_client_interceptors, filters
from opentelemetry.instrumentation.grpc._aio_server import (
    OpenTelemetryAioServerInterceptor,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import TracerProvider as AnyProvider

EXPORT_TIMEOUT = 2


def provider(service: str, *, endpoint: str, sample_ratio: float) -> TracerProvider:
    """Keeps a share of the traces that begin here, and follows callers in the rest."""
    made = TracerProvider(
        sampler=ParentBasedTraceIdRatio(sample_ratio),
        resource=Resource.create({SERVICE_NAME: service}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(
        endpoint=endpoint, insecure=True, timeout=EXPORT_TIMEOUT
    )
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


def client_interceptors(
    into: AnyProvider,
) -> Sequence[grpc.aio.ClientInterceptor]:
    """OpenTelemetry's own, reporting to a provider; they pass the context on."""
    make: Callable[..., Sequence[grpc.aio.ClientInterceptor]] = aio_client_interceptors
    return make(tracer_provider=into, filter_=filters.negate(filters.health_check()))


def server_interceptors(
    into: AnyProvider,
) -> Sequence[grpc.aio.ServerInterceptor]:
    """OpenTelemetry's own, reporting to a provider and taking up the caller's."""
    make: Callable[..., grpc.aio.ServerInterceptor] = _ServerSpans
    tracer = into.get_tracer("chassis")
    return [make(tracer, filter_=filters.negate(filters.health_check()))]


class _ServerSpans(OpenTelemetryAioServerInterceptor):
    """Ours serves streams by coroutines that write, where theirs expects generators."""

    def _intercept_aio_server_stream(self, behavior: Any, details: Any) -> Any:
        unary: Callable[..., Any] = self._intercept_aio_server_unary
        return unary(behavior, details)
