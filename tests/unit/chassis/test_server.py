"""What a server does around its handlers: time, callers, rules, ready bytes."""

import asyncio
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import pytest

from feedmesh.graph.v1 import graph_pb2, user_pb2
from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceStub
from feedmesh.graph.v1.user_pb2_grpc import UserServiceStub
from feedmesh.push.v1 import push_pb2
from feedmesh.push.v1.push_pb2_grpc import PushServiceStub
from feedmesh.rank.v1 import rank_pb2
from feedmesh.rank.v1.rank_pb2_grpc import RankServiceStub

from chassis import auth, context, deadline, secrets, server
from chassis.auth import AccessTokens, Caller, InternalIdentity, Role, calling_as
from chassis.carriers import plain
from chassis.errors import (
    DeadlineExceeded,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from chassis.server import build
from chassis.testing import eventually, refuses
from chassis.testing.serving import serving

from tests.unit.chassis import rooms

PEER = Caller(role=Role.INTERNAL, service="test")
ANN = Caller(user_id=7, role=Role.USER, session_id="s", origin=Role.USER)


async def answers(_: Any) -> Any:
    return b""


async def test_handler_may_answer_ready_bytes() -> None:
    """A page joined from frames goes out as it is, under unchanged stubs."""

    async def ready(_: Any) -> bytes:
        return rank_pb2.RankResponse(model_version="m1").SerializeToString()

    async with serving(rooms.rank(ready)) as served:
        with calling_as(PEER):
            answer = await RankServiceStub(served.channel).Rank(rooms.RANK)

    assert answer == rank_pb2.RankResponse(model_version="m1")


async def test_stream_may_mix_bytes_and_messages() -> None:
    """What is ready is sent as it is, the rest is serialised."""

    async def mixed(_: Any) -> AsyncIterator[Any]:
        yield graph_pb2.StreamFollowersResponse(follower_ids=[1])
        yield graph_pb2.StreamFollowersResponse(follower_ids=[2]).SerializeToString()

    async with serving(rooms.graph(mixed)) as served:
        with calling_as(PEER):
            call = GraphServiceStub(served.channel).StreamFollowers(rooms.FOLLOWERS)
        pages = [list(page.follower_ids) async for page in call]

    assert pages == [[1], [2]]


async def test_deadline_of_the_caller_less_five_milliseconds() -> None:
    """The handler sees what is left for it."""
    seen: list[float | None] = []

    async def looks(_: Any) -> bytes:
        seen.append(deadline.remaining())
        return b""

    async with serving(rooms.users(looks)) as served:
        await UserServiceStub(served.channel).GetUser(rooms.USER, timeout=0.5)

    assert seen[0] is not None
    assert 0.3 < seen[0] <= 0.495


async def test_call_without_deadline_gets_that_of_the_contract() -> None:
    """A foreign client that sets none does not wait for ever; nor a day."""
    seen: list[float] = []

    async def looks(_: Any) -> bytes:
        seen.append(deadline.bound(999))
        return b""

    async with (
        serving(rooms.users(looks)) as served,
        grpc.aio.insecure_channel(served.target) as plain,
    ):
        await UserServiceStub(plain).GetUser(rooms.USER)
        await UserServiceStub(plain).GetUser(rooms.USER, timeout=86400)

    assert all(1.3 < left <= 1.5 for left in seen)


async def test_callee_reports_its_own_timeout() -> None:
    """The caller still hears why, from the room that was too slow."""

    async def hangs(_: Any) -> None:
        await asyncio.Event().wait()

    async with serving(rooms.users(hangs)) as served:

        async def hears_why() -> bool:
            with pytest.raises(DeadlineExceeded) as caught:
                await UserServiceStub(served.channel).GetUser(rooms.USER, timeout=0.2)
            return caught.value.message == "the deadline is over"

        # On a busy machine the answer may need longer than what was kept back.
        assert await eventually(hears_why)


async def test_what_cannot_be_met_is_refused() -> None:
    """Less than the trim is no time at all: the handler is not asked."""
    asked: list[Any] = []

    async def notes(request: Any) -> bytes:
        asked.append(request)
        return b""

    async with (
        serving(rooms.users(notes)) as served,
        grpc.aio.insecure_channel(served.target) as plain,
    ):
        await plain.channel_ready()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await UserServiceStub(plain).GetUser(rooms.USER, timeout=0.004)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert asked == []


async def test_stream_ends_at_its_deadline() -> None:
    """Also between two messages, and with the error of the room."""

    async def slow(_: Any) -> AsyncIterator[Any]:
        yield graph_pb2.StreamFollowersResponse(follower_ids=[1])
        await asyncio.Event().wait()

    async with serving(rooms.graph(slow)) as served:
        with calling_as(PEER):
            call: Any = GraphServiceStub(served.channel).StreamFollowers(
                rooms.FOLLOWERS, timeout=0.2
            )
        assert (await call.read()).follower_ids == [1]
        with refuses(DeadlineExceeded, "DEADLINE_EXCEEDED"):
            await call.read()


async def test_long_lived_stream_has_no_deadline() -> None:
    """It lives until somebody ends it."""
    seen: list[float | None] = []

    async def live(_: Any) -> AsyncIterator[Any]:
        seen.append(deadline.remaining())
        yield push_pb2.SubscribeResponse()

    async with serving(rooms.push(live)) as served:
        with calling_as(ANN):
            call = PushServiceStub(served.channel).Subscribe(rooms.SUBSCRIBE)
        assert [message async for message in call] == [push_pb2.SubscribeResponse()]

    assert seen == [None]


async def test_request_that_breaks_a_rule_names_the_field() -> None:
    """In proto names, with the place in a list; the handler is not asked."""

    async def never(_: Any) -> None:
        raise AssertionError

    wrong = rank_pb2.RankRequest(as_of_ms=1, viewer_id=-1)
    wrong.post_ids.extend([1, -4])
    wrong.author_ids.extend([1, 1])
    wrong.create_times_ms.extend([1, 1])
    async with serving(rooms.rank(never)) as served:
        with calling_as(PEER), pytest.raises(InvalidArgument) as caught:
            await RankServiceStub(served.channel).Rank(wrong)

    assert caught.value.reason == "VALIDATION_FAILED"
    assert [violation.field for violation in caught.value.violations] == [
        "viewer_id",
        "post_ids[1]",
    ]
    assert caught.value.violations[0].description


async def test_nobody_without_an_audience_gets_in() -> None:
    """T5: default deny; an anonymous caller is asked who they are, others refused."""
    async with serving(rooms.rank(answers)) as served:
        stub = RankServiceStub(served.channel)
        with refuses(Unauthenticated, "TOKEN_MISSING"):
            await stub.Rank(rooms.RANK)
        with calling_as(ANN), refuses(PermissionDenied, "AUDIENCE_DENIED"):
            await stub.Rank(rooms.RANK)
        with calling_as(PEER):
            await stub.Rank(rooms.RANK)


async def test_caller_comes_from_a_token(tmp_path: Path) -> None:
    """T1: what the request or any other header says changes nothing."""
    secrets.create_development(tmp_path)
    tokens = AccessTokens(tmp_path)
    seen: list[Caller] = []

    async def looks(_: Any) -> bytes:
        seen.append(auth.caller())
        return b""

    async with (
        serving(rooms.users(looks), secrets_dir=tmp_path) as served,
        grpc.aio.insecure_channel(served.target) as plain,
    ):
        token = tokens.issue(user_id=7, session_id="s", ttl=60)
        await UserServiceStub(plain).GetUser(
            user_pb2.GetUserRequest(user_id=99),
            metadata=(
                ("authorization", f"Bearer {token}"),
                ("x-user-id", "99"),
                ("user-id", "99"),
            ),
        )

    assert seen == [ANN]


async def test_service_token_acts_as_a_person(tmp_path: Path) -> None:
    """Only it: the same header with a person's token is refused."""
    secrets.create_development(tmp_path)
    tokens = AccessTokens(tmp_path)
    seen: list[Caller] = []

    async def looks(_: Any) -> bytes:
        seen.append(auth.caller())
        return b""

    async with (
        serving(rooms.users(looks), secrets_dir=tmp_path) as served,
        grpc.aio.insecure_channel(served.target) as plain,
    ):
        stub = UserServiceStub(plain)
        service = tokens.issue(role=Role.SERVICE, service="importer", ttl=60)
        person = tokens.issue(user_id=7, role=Role.ADMIN, ttl=60)
        acting = (auth.ACT_AS_KEY, "7")
        await stub.GetUser(
            rooms.USER, metadata=(("authorization", f"bearer {service}"), acting)
        )
        for metadata in ((("authorization", f"Bearer {person}"), acting), (acting,)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetUser(rooms.USER, metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED

    assert [(who.user_id, who.acting_for) for who in seen] == [(7, True)]


GOOD = InternalIdentity(secrets.DEVELOPMENT_KEYS).sign(ANN)


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", "Basic YTpi"),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer x.y.z"),),
        (("authorization", "Bearer " + "x" * 5000),),
        ((auth.IDENTITY_KEY, "x"),),
        ((auth.IDENTITY_KEY, GOOD[:-1] + "_"),),
        ((auth.IDENTITY_KEY, GOOD), (auth.IDENTITY_KEY, GOOD)),
        ((auth.IDENTITY_KEY, "x"), ("authorization", "Bearer x")),
    ],
    ids=["basic", "empty", "garbage", "oversize", "garbage", "forged", "twice", "both"],
)
async def test_wrong_credentials_are_refused_on_public_methods(
    metadata: tuple[tuple[str, str], ...],
) -> None:
    """A caller who says who they are and is not believed does not become nobody."""
    async with (
        serving(rooms.users(answers)) as served,
        grpc.aio.insecure_channel(served.target) as plain,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await UserServiceStub(plain).GetUser(rooms.USER, metadata=metadata)

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_ids_of_a_request_are_taken_over_or_made() -> None:
    """A request id that is no id is replaced; the graph version is a number."""
    seen: list[tuple[str, int]] = []

    async def looks(_: Any) -> bytes:
        seen.append((context.request_id(), context.min_graph_version()))
        return b""

    async with serving(rooms.users(looks)) as served:
        stub = UserServiceStub(served.channel)
        for request_id, version in (("r-1", "42"), ("x" * 200, "-1"), ("", "four")):
            await stub.GetUser(
                rooms.USER,
                metadata=(
                    (context.REQUEST_ID_KEY, request_id),
                    (context.GRAPH_VERSION_KEY, version),
                ),
            )

    assert seen[0] == ("r-1", 42)
    assert [(len(name), version) for name, version in seen[1:]] == [(16, 0), (16, 0)]


async def test_load_is_shed_with_a_time_to_come_back() -> None:
    """The call above the limit is refused at once, and labelled."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def holds(_: Any) -> bytes:
        entered.set()
        await leave.wait()
        return b""

    async with serving(rooms.users(holds), max_concurrent_calls=1) as served:
        stub = UserServiceStub(served.channel)
        first = stub.GetUser(rooms.USER)
        await asyncio.wait_for(entered.wait(), 5)
        with pytest.raises(ResourceExhausted) as caught:
            await stub.GetUser(rooms.USER)
        leave.set()
        await first
        await stub.GetUser(rooms.USER)

    assert caught.value.reason == "OVERLOADED"
    assert caught.value.retry_after is not None


async def test_streams_have_a_limit_of_their_own() -> None:
    """Long-lived streams take no place from calls, and are counted."""

    async def live(_: Any) -> AsyncIterator[Any]:
        yield push_pb2.SubscribeResponse()
        await asyncio.Event().wait()

    rpcs = rooms.push(live) | rooms.users(answers)
    async with serving(
        rpcs, max_concurrent_calls=1, max_concurrent_streams=1
    ) as served:
        stub = PushServiceStub(served.channel)
        with calling_as(ANN):
            stream = stub.Subscribe(rooms.SUBSCRIBE)
            await stream.read()
            with refuses(ResourceExhausted, "STREAM_LIMIT"):
                await stub.Subscribe(rooms.SUBSCRIBE).read()
            await UserServiceStub(served.channel).GetUser(rooms.USER)
            stream.cancel()

            async def has_room() -> bool:
                again = stub.Subscribe(rooms.SUBSCRIBE)
                await again.read()
                return again.cancel()

            assert await eventually(has_room)


async def test_handler_is_left_when_its_caller_goes() -> None:
    """A stream nobody reads any more is closed, its finally blocks run."""
    closed = asyncio.Event()

    async def live(_: Any) -> AsyncIterator[Any]:
        try:
            yield push_pb2.SubscribeResponse()
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with serving(rooms.push(live)) as served:
        with calling_as(ANN):
            stream = PushServiceStub(served.channel).Subscribe(rooms.SUBSCRIBE)
        await stream.read()
        stream.cancel()

        await asyncio.wait_for(closed.wait(), 5)


def test_every_option_is_known_to_grpc() -> None:
    """A misspelt channel argument is ignored without a word."""
    core = find_spec("grpc._cython.cygrpc")
    assert core is not None
    assert core.origin is not None
    binary = Path(core.origin).read_bytes()
    known = {name.encode() for name, _ in (*server.OPTIONS, *plain.OPTIONS)}

    assert {name for name in known if name + b"\0" not in binary} == set()


def test_method_without_policy_stops_the_start() -> None:
    """A method of ours that the contract says nothing about is not served."""

    def add(_servicer: object, into: grpc.aio.Server) -> None:
        into.add_registered_method_handlers(
            "feedmesh.secret.v1.SecretService",
            {"Tell": grpc.unary_unary_rpc_method_handler(answers)},
        )

    with pytest.raises(RuntimeError, match="SecretService/Tell has no method_policy"):
        build([(add, object())], interceptors=(), concurrent=1, with_reflection=False)


async def test_message_above_the_limit_is_too_large() -> None:
    """1 MiB in: refused by gRPC itself, and named as what it is."""
    async with serving(rooms.users(answers)) as served:
        call: Any = served.channel.unary_unary(
            "/feedmesh.graph.v1.UserService/LookupUser"
        )
        with refuses(ResourceExhausted, "REQUEST_TOO_LARGE"):
            await call(b"x" * (1024 * 1024 + 1))


async def test_one_connection_carries_many_live_streams() -> None:
    """A gateway's readers do not wait for each other without a word."""

    async def live(_: Any) -> AsyncIterator[Any]:
        yield push_pb2.SubscribeResponse()
        await asyncio.Event().wait()

    async with serving(rooms.push(live)) as served:
        stub = PushServiceStub(served.channel)
        with calling_as(ANN):
            streams = [stub.Subscribe(rooms.SUBSCRIBE) for _ in range(200)]
        async with asyncio.timeout(10):
            await asyncio.gather(*(stream.read() for stream in streams))
