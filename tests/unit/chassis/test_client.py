"""What every outgoing call carries, and how long it may take."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceStub
from feedmesh.graph.v1.user_pb2_grpc import UserServiceStub
from feedmesh.push.v1 import push_pb2
from feedmesh.push.v1.push_pb2_grpc import PushServiceStub
from feedmesh.rank.v1.rank_pb2_grpc import RankServiceStub

from chassis import auth, context, deadline
from chassis.auth import Caller, Role, calling_as
from chassis.carriers.plain import resolvable
from chassis.client import ChannelSettings, open_channel
from chassis.errors import DeadlineExceeded, Unauthenticated
from chassis.run import App, running
from chassis.settings import ServiceSettings
from chassis.testing import eventually, refuses
from chassis.testing.serving import serving

from tests.unit.chassis import rooms

ANN = Caller(user_id=7, role=Role.USER, session_id="s", origin=Role.USER)
PEER = Caller(role=Role.INTERNAL, service="test")


async def answers(_: Any) -> bytes:
    return b""


class Listener:
    """A handler that notes who called, with what, and how long it has."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.ids: list[tuple[str, int, str]] = []
        self.left: list[float | None] = []

    async def __call__(self, _: Any) -> bytes:
        self.callers.append(auth.caller())
        self.ids.append(
            (context.request_id(), context.min_graph_version(), context.traceparent())
        )
        self.left.append(deadline.remaining())
        return b""


async def test_service_calls_as_itself_for_the_caller() -> None:
    """A peer sees the service, and for whom it calls."""
    heard = Listener()
    async with serving(rooms.rank(heard)) as served:
        settings = replace(served.called, as_caller=False, service="svc_feed")
        async with open_channel(settings) as channel:
            stub = RankServiceStub(channel)
            with calling_as(ANN):
                await stub.Rank(rooms.RANK)
            await stub.Rank(rooms.RANK)

    assert heard.callers == [
        Caller(7, Role.INTERNAL, "svc_feed", "s", False, Role.USER),
        Caller(0, Role.INTERNAL, "svc_feed"),
    ]


async def test_edge_calls_as_the_caller() -> None:
    """A person does not become a service by passing the gateway."""
    heard = Listener()
    async with serving(rooms.users(heard)) as served:
        with calling_as(ANN):
            await UserServiceStub(served.channel).GetUser(rooms.USER)

    assert heard.callers == [replace(ANN, service="test")]


async def test_named_identity_is_not_named_twice() -> None:
    """What the caller puts into the metadata stands alone."""
    heard = Listener()
    async with serving(rooms.users(heard)) as served:
        identity = auth.InternalIdentity(served.settings.internal_keys)
        with calling_as(ANN):
            await UserServiceStub(served.channel).GetUser(
                rooms.USER, metadata=((auth.IDENTITY_KEY, identity.sign(PEER)),)
            )

    assert heard.callers == [PEER]


async def test_channel_without_keys_shows_a_token() -> None:
    """Clients outside the mesh have a token, or nothing."""
    async with serving(rooms.users(answers)) as served:
        outside = ChannelSettings(target=served.target, token="no.such.token")
        async with open_channel(outside) as channel:
            with refuses(Unauthenticated, "TOKEN_INVALID"):
                await UserServiceStub(channel).GetUser(rooms.USER)
        async with open_channel(ChannelSettings(target=served.target)) as channel:
            await UserServiceStub(channel).GetUser(rooms.USER)


async def test_ids_travel_down_the_chain() -> None:
    """Request id, trace and graph version reach the last room, hop after hop."""
    heard = Listener()
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    async with serving(rooms.rank(heard)) as last:
        settings = replace(last.called, as_caller=False)
        async with open_channel(settings) as channel:

            async def asks(_: Any) -> bytes:
                await RankServiceStub(channel).Rank(rooms.RANK)
                return b""

            async with serving(rooms.users(asks)) as first:
                await UserServiceStub(first.channel).GetUser(
                    rooms.USER,
                    metadata=(
                        (context.REQUEST_ID_KEY, "r-1"),
                        (context.GRAPH_VERSION_KEY, "42"),
                        (context.TRACEPARENT_KEY, trace),
                    ),
                )

    assert heard.ids == [("r-1", 42, trace)]


async def test_budget_shrinks_from_hop_to_hop() -> None:
    """Each hop keeps five milliseconds back on each side."""
    heard = Listener()
    async with serving(rooms.users(heard)) as last:

        async def asks(_: Any) -> bytes:
            own = deadline.remaining()
            await UserServiceStub(last.channel).GetUser(rooms.USER)
            assert own is not None
            assert heard.left[0] is not None
            assert heard.left[0] <= own - 2 * deadline.TRIM
            return b""

        async with serving(rooms.users(asks)) as first:
            await UserServiceStub(first.channel).GetUser(rooms.USER, timeout=0.6)

    assert heard.left[0] is not None
    assert 0.3 < heard.left[0] <= 0.6 - 3 * deadline.TRIM


async def test_nothing_is_sent_when_nothing_is_left() -> None:
    """A call that could not be answered in time does not leave."""
    heard = Listener()
    async with serving(rooms.users(heard)) as served, deadline.limit(0.003):
        with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
            await UserServiceStub(served.channel).GetUser(rooms.USER)

    assert heard.left == []


async def test_contract_and_ceiling_cap_what_is_asked() -> None:
    """A timeout may be shorter than the contract's, never longer."""
    heard = Listener()
    async with serving(rooms.users(heard)) as served:
        stub = UserServiceStub(served.channel)
        await stub.GetUser(rooms.USER, timeout=600)
        await stub.GetUser(rooms.USER)
        async with open_channel(replace(served.called, ceiling=0.5)) as channel:
            await UserServiceStub(channel).GetUser(rooms.USER)

    assert [left is not None and left > 1 for left in heard.left] == [True, True, False]
    assert all(left is not None and left < 1.5 for left in heard.left)


async def test_long_lived_stream_outlives_the_call_that_opened_it() -> None:
    """A subscription made inside a call does not end with its deadline."""

    async def live(_: Any) -> AsyncIterator[Any]:
        for _n in range(3):
            yield push_pb2.SubscribeResponse()
            await asyncio.sleep(0.05)

    async with serving(rooms.push(live)) as served:
        with calling_as(ANN):
            async with deadline.limit(0.1):
                call = PushServiceStub(served.channel).Subscribe(rooms.SUBSCRIBE)
        assert len([message async for message in call]) == 3


async def test_frozen_peer_costs_no_more_than_the_deadline() -> None:
    """A peer that accepts and never answers is given up in time."""

    async def hangs(_: Any) -> None:
        await asyncio.Event().wait()

    async with serving(rooms.users(hangs)) as served:
        began = time.perf_counter()
        with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
            await UserServiceStub(served.channel).GetUser(rooms.USER, timeout=0.1)

    assert time.perf_counter() - began < 1


async def test_backends_take_turns_and_sick_ones_none() -> None:
    """Round robin over a list; a backend that is NOT_SERVING gets no calls."""
    counts = [0, 0]

    def counting(which: int) -> Any:
        async def count(_: Any) -> bytes:
            counts[which] += 1
            return b""

        return rooms.users(count)

    async with serving(counting(0)) as one:
        settings = ServiceSettings(port=0, admin_port=0, linger_seconds=0)
        app = App(name="two", rpcs=counting(1))
        async with running(app, settings) as two:
            assert two.health is not None
            await two.health.report(is_ready=True)
            both = f"{one.target},127.0.0.1:{two.port}"
            async with open_channel(replace(one.called, target=both)) as channel:
                stub = UserServiceStub(channel)

                async def both_are_called() -> bool:
                    await stub.GetUser(rooms.USER)
                    return min(counts) > 2

                await eventually(both_are_called)
                await two.health.drain()

                async def only_one_is_called() -> bool:
                    before = counts[1]
                    for _n in range(6):
                        await stub.GetUser(rooms.USER)
                    return counts[1] == before

                await eventually(only_one_is_called)


async def test_calls_are_measured_on_both_sides() -> None:
    """Every call, by method and status; a method nobody knows by _OTHER."""
    async with serving(rooms.rank(answers)) as served:
        stub = RankServiceStub(served.channel)
        unknown: Any = served.channel.unary_unary("/x.y/Zzz")
        with calling_as(PEER):
            await stub.Rank(rooms.RANK)
        with pytest.raises(Unauthenticated):
            await stub.Rank(rooms.RANK)
        with pytest.raises(Exception, match="METHOD_UNKNOWN"):
            await unknown(b"")

        def count(side: str, method: str, status: str) -> float | None:
            return served.registry.get_sample_value(
                f"rpc_{side}_call_duration_seconds_count",
                {"rpc_method": method, "rpc_response_status_code": status},
            )

        name = "feedmesh.rank.v1.RankService/Rank"
        assert count("server", name, "OK") == 1
        assert count("server", name, "UNAUTHENTICATED") == 1
        assert count("server", "_OTHER", "UNIMPLEMENTED") == 1
        assert count("client", name, "OK") == 1
        assert count("client", "_OTHER", "UNIMPLEMENTED") == 1
        for side in ("server", "client"):
            flying = f"rpc_{side}_calls_in_flight"
            assert served.registry.get_sample_value(flying, {"rpc_method": name}) == 0


async def test_cancelled_call_is_measured_as_such() -> None:
    """It leaves nothing in flight behind."""
    began = asyncio.Event()

    async def hangs(_: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    async with serving(rooms.users(hangs)) as served:
        call = UserServiceStub(served.channel).GetUser(rooms.USER)
        await asyncio.wait_for(began.wait(), 5)
        call.cancel()
        name = "feedmesh.graph.v1.UserService/GetUser"

        def is_over() -> bool:
            labels = {"rpc_method": name}
            return all(
                served.registry.get_sample_value(
                    f"rpc_{side}_call_duration_seconds_count",
                    labels | {"rpc_response_status_code": "CANCELLED"},
                )
                == 1
                and served.registry.get_sample_value(
                    f"rpc_{side}_calls_in_flight", labels
                )
                == 0
                for side in ("client", "server")
            )

        await eventually(is_over)


async def test_stream_is_measured_when_it_ends() -> None:
    """An iteration to the end counts as OK."""

    async def one(_: Any) -> AsyncIterator[bytes]:
        yield b""

    async with serving(rooms.graph(one)) as served:
        with calling_as(PEER):
            call = GraphServiceStub(served.channel).StreamFollowers(rooms.FOLLOWERS)
        assert [page async for page in call]
        labels = {
            "rpc_method": "feedmesh.graph.v1.GraphService/StreamFollowers",
            "rpc_response_status_code": "OK",
        }
        name = "rpc_client_call_duration_seconds_count"
        assert served.registry.get_sample_value(name, labels) == 1


@pytest.mark.parametrize(
    ("target", "resolved"),
    [
        ("127.0.0.1:50051", "ipv4:127.0.0.1:50051"),
        ("127.0.0.1:1, 127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        ("svc-graph:50051", "dns:///svc-graph:50051"),
        ("dns:///svc-graph.mesh:50051", "dns:///svc-graph.mesh:50051"),
        ("unix:/run/graph.sock", "unix:/run/graph.sock"),
    ],
)
def test_targets(target: str, resolved: str) -> None:
    """Addresses, lists of them, names, and gRPC's own schemes."""
    assert resolvable(target) == resolved


def test_list_of_names_is_refused() -> None:
    """gRPC resolves one name only: a list of names would fail later, or silently."""
    with pytest.raises(ValueError, match="IPv4 addresses"):
        resolvable("a:1,b:2")


async def test_channel_offers_what_a_plain_one_does() -> None:
    """Stubs and tools may wait for it and ask for its state."""
    async with serving(rooms.users(answers)) as served:
        await asyncio.wait_for(served.channel.channel_ready(), 5)
        assert served.channel.get_state() is grpc.ChannelConnectivity.READY
