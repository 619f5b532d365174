"""Spans across gRPC, where a collector is named."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from feedmesh.graph.v1 import graph_pb2
from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceStub
from feedmesh.graph.v1.user_pb2_grpc import UserServiceStub

from chassis import tracing
from chassis.client import open_channel
from chassis.errors import NotFound
from chassis.testing import eventually, refuses
from chassis.testing.serving import serving

from tests.unit.chassis import rooms


async def test_one_trace_over_two_hops() -> None:
    """Client and server spans of a unary call and of a stream, parent by parent."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces: list[str] = []

    async def pages(_: Any) -> AsyncIterator[Any]:
        traces.append(tracing.trace_id())
        yield graph_pb2.StreamFollowersResponse(follower_ids=[1])

    with tracing.tracing_with(provider):
        async with serving(rooms.graph(pages)) as last:
            peer = replace(last.called, as_caller=False)
            async with open_channel(peer) as channel:

                async def asks(_: Any) -> bytes:
                    traces.append(tracing.trace_id())
                    call = GraphServiceStub(channel).StreamFollowers(rooms.FOLLOWERS)
                    assert [len(page.follower_ids) async for page in call] == [1]
                    return b""

                async with serving(rooms.users(asks)) as first:
                    await UserServiceStub(first.channel).GetUser(rooms.USER)

    spans = {
        (span.name.rpartition("/")[2], span.kind.name): span
        for span in exporter.get_finished_spans()
    }
    chain = [
        spans["GetUser", "CLIENT"],
        spans["GetUser", "SERVER"],
        spans["StreamFollowers", "CLIENT"],
        spans["StreamFollowers", "SERVER"],
    ]
    for outer, inner in pairwise(chain):
        assert outer.context is not None
        assert inner.parent is not None
        assert inner.parent.span_id == outer.context.span_id
    assert chain[0].context is not None
    assert traces == [format(chain[0].context.trace_id, "032x")] * 2
    assert not any("Health" in name for name, _ in spans)


async def test_failed_call_is_marked() -> None:
    """The span of a call that failed says so."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def fails(_: Any) -> None:
        raise NotFound("USER_NOT_FOUND")

    with tracing.tracing_with(provider):
        async with serving(rooms.users(fails)) as served:
            with refuses(NotFound, "USER_NOT_FOUND"):
                await UserServiceStub(served.channel).GetUser(rooms.USER)

    def codes() -> bool:
        found = [span.attributes for span in exporter.get_finished_spans()]
        return [
            (attributes or {}).get("rpc.grpc.status_code") for attributes in found
        ] == [5, 5]

    await eventually(codes)


async def test_nothing_is_made_without_a_collector() -> None:
    """No provider, no interceptors, no exporter."""
    async with tracing.configure_tracing("svc", endpoint=None, sample_ratio=1):
        assert tracing.tracer() is None
        assert tracing.client_interceptors() == ()
        assert tracing.server_interceptors() == ()


async def test_collector_that_is_away_holds_nobody() -> None:
    """Spans are sent beside the calls, and given up at the end."""
    async with tracing.configure_tracing(
        "svc", endpoint="http://127.0.0.1:9", sample_ratio=1
    ):
        assert tracing.tracer() is not None

        async def answers(_: Any) -> bytes:
            return b""

        async with serving(rooms.users(answers)) as served:
            assert await UserServiceStub(served.channel).GetUser(rooms.USER)
    assert tracing.tracer() is None
