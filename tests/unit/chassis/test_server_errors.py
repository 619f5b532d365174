"""How calls fail: over the wire, as the class that was raised, hop after hop."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from feedmesh.graph.v1 import graph_pb2
from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceStub
from feedmesh.graph.v1.user_pb2_grpc import UserServiceStub
from feedmesh.rank.v1 import rank_pb2
from feedmesh.rank.v1.rank_pb2_grpc import RankServiceStub

from chassis.auth import Caller, Role, calling_as
from chassis.client import open_channel
from chassis.errors import (
    BY_CODE,
    Cancelled,
    Internal,
    InvalidArgument,
    MeshError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
    Violation,
)
from chassis.interceptors.errors import FAULT
from chassis.testing import eventually, refuses
from chassis.testing.serving import serving
from chassis.wire import DETAILS_KEY

from tests.unit.chassis import rooms

PEER = Caller(role=Role.INTERNAL, service="test")

# Internal errors are replaced by a fixed one; see below.
RAISED = [kind for kind in BY_CODE.values() if kind is not Internal]


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.status)
async def test_unary_call_raises_the_same_class(kind: type[MeshError]) -> None:
    """What the handler raises is what the caller catches, with all its facts."""
    sent = kind(
        "RATE_LIMITED",
        "because",
        metadata={"a": "b"},
        violations=[Violation("post_ids[3]", "no")],
        retry_after=2.5,
    )

    async def fails(_: Any) -> None:
        raise sent

    async with serving(rooms.rank(fails)) as served:
        with calling_as(PEER), pytest.raises(MeshError) as caught:
            await RankServiceStub(served.channel).Rank(rooms.RANK)

    assert type(caught.value) is kind
    assert vars(caught.value) == vars(sent)


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.status)
async def test_stream_raises_the_same_class(kind: type[MeshError]) -> None:
    """After the messages that came before it."""

    async def fails(_: Any) -> AsyncIterator[Any]:
        yield graph_pb2.StreamFollowersResponse(follower_ids=[1])
        raise kind("RATE_LIMITED", metadata={"a": "b"}, retry_after=1)

    got: list[int] = []
    async with serving(rooms.graph(fails)) as served:
        stub = GraphServiceStub(served.channel)

        async def reads() -> None:
            async for page in stub.StreamFollowers(rooms.FOLLOWERS):
                got.extend(page.follower_ids)

        with calling_as(PEER), pytest.raises(MeshError) as caught:
            await reads()

    assert got == [1]
    assert type(caught.value) is kind
    assert (caught.value.metadata, caught.value.retry_after) == ({"a": "b"}, 1)


async def test_stream_read_raises_too() -> None:
    """Reading message by message is another way to the same error."""

    async def fails(_: Any) -> AsyncIterator[Any]:
        yield graph_pb2.StreamFollowersResponse(follower_ids=[1])
        raise NotFound("USER_NOT_FOUND")

    async with serving(rooms.graph(fails)) as served:
        with calling_as(PEER):
            call: Any = GraphServiceStub(served.channel).StreamFollowers(
                rooms.FOLLOWERS
            )
        assert (await call.read()).follower_ids == [1]
        with refuses(NotFound, "USER_NOT_FOUND"):
            await call.read()


async def test_error_crosses_several_hops() -> None:
    """A room that lets a peer's error pass hands on class, reason and facts."""

    async def fails(_: Any) -> None:
        raise ResourceExhausted("RATE_LIMITED", metadata={"deep": "1"}, retry_after=3)

    async with serving(rooms.rank(fails)) as last:

        async def passes(_: Any) -> AsyncIterator[Any]:
            yield graph_pb2.StreamFollowersResponse(follower_ids=[1])
            await RankServiceStub(last.channel).Rank(rooms.RANK)

        async with serving(rooms.graph(passes)) as middle:

            async def iterates(_: Any) -> None:
                stub = GraphServiceStub(middle.channel)
                async for _page in stub.StreamFollowers(rooms.FOLLOWERS):
                    pass

            async with serving(rooms.users(iterates)) as first:
                with calling_as(PEER), pytest.raises(ResourceExhausted) as caught:
                    await UserServiceStub(first.channel).GetUser(rooms.USER)

    assert caught.value.reason == "RATE_LIMITED"
    assert (caught.value.metadata, caught.value.retry_after) == ({"deep": "1"}, 3)


async def test_status_on_the_wire_is_standard() -> None:
    """A client of any language finds google.rpc.Status in the usual trailer."""

    async def fails(_: Any) -> None:
        raise NotFound("USER_NOT_FOUND", "gone")

    async with (
        serving(rooms.users(fails)) as served,
        grpc.aio.insecure_channel(served.target) as plain,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await UserServiceStub(plain).GetUser(rooms.USER)

    trailers = dict(caught.value.trailing_metadata())
    details = trailers[DETAILS_KEY]
    assert isinstance(details, bytes)
    status = status_pb2.Status.FromString(details)
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert (caught.value.details(), status.message) == ("gone", "gone")
    assert (info.domain, info.reason) == ("feedmesh", "USER_NOT_FOUND")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password is hunter2"),
        Internal("INTERNAL", "password is hunter2"),
        ExceptionGroup("g", [ValueError("hunter2"), NotFound("USER_NOT_FOUND")]),
        asyncio.CancelledError("hunter2"),
        TimeoutError("hunter2"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_fault_of_ours_is_hidden_and_logged_once(
    error: BaseException, logs: list[Any]
) -> None:
    """The caller gets a fixed text and the id that finds the one line in the log."""

    async def fails(_: Any) -> None:
        raise error

    async with serving(rooms.users(fails)) as served:
        with pytest.raises(Internal) as caught:
            await UserServiceStub(served.channel).GetUser(
                rooms.USER, metadata=(("x-request-id", "r-1"),)
            )

    assert (caught.value.reason, caught.value.message) == ("INTERNAL", FAULT)
    assert caught.value.metadata == {"request_id": "r-1"}
    failures = [line for line in logs if line["log_level"] == "error"]
    assert [line["exc_info"] for line in failures] == [error]


async def test_mistake_of_a_caller_is_no_error_in_the_log(logs: list[Any]) -> None:
    """It is told, once, as information."""

    async def fails(_: Any) -> None:
        raise NotFound("USER_NOT_FOUND")

    async with serving(rooms.users(fails)) as served:
        with refuses(NotFound, "USER_NOT_FOUND"):
            await UserServiceStub(served.channel).GetUser(rooms.USER)

    told = [line for line in logs if line.get("method", "").endswith("GetUser")]
    assert [(line["log_level"], line["reason"]) for line in told] == [
        ("info", "USER_NOT_FOUND")
    ]


async def test_error_of_a_task_group_comes_out_of_it() -> None:
    """A handler that asks peers side by side fails as if it had asked one."""

    async def fails(_: Any) -> None:
        async def part() -> None:
            raise Unavailable("DEPENDENCY_UNAVAILABLE", "peer")

        async with asyncio.TaskGroup() as group:
            group.create_task(part())
            group.create_task(asyncio.sleep(10))

    async with serving(rooms.users(fails)) as served:
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await UserServiceStub(served.channel).GetUser(rooms.USER)


async def test_caller_that_leaves_is_no_error(logs: list[Any]) -> None:
    """A cancel reaches the handler, and nobody is blamed."""
    began, left = asyncio.Event(), asyncio.Event()

    async def waits(_: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async with serving(rooms.users(waits)) as served:
        call = UserServiceStub(served.channel).GetUser(rooms.USER)
        await asyncio.wait_for(began.wait(), 5)
        call.cancel()
        await asyncio.wait_for(left.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await call

    assert not [line for line in logs if line["log_level"] == "error"]


async def test_peer_that_is_gone_is_unavailable() -> None:
    """gRPC's own failure is raised as ours."""

    async def answers(_: Any) -> bytes:
        return b""

    async with serving(rooms.users(answers)) as served:
        called = served.called
    async with open_channel(called) as channel:
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await UserServiceStub(channel).GetUser(rooms.USER)


async def test_unknown_method_says_so() -> None:
    """A method we do not have, of a service we have or not, by any kind of call."""

    async def never(_: Any) -> None:
        raise Cancelled("CANCELLED")

    async with serving(rooms.users(never)) as served:
        channel: Any = served.channel
        for path in ("/feedmesh.graph.v1.UserService/Nope", "/nope.v1.Nope/Nope", "/x"):
            with refuses(Unimplemented, "METHOD_UNKNOWN"):
                await channel.unary_unary(path)(b"")
            with refuses(Unimplemented, "METHOD_UNKNOWN"):
                async for _ in channel.unary_stream(path)(b""):
                    pass


async def test_bytes_that_are_no_message_are_refused() -> None:
    """T9: never INTERNAL, whatever the bytes are."""

    async def never(_: Any) -> None:
        raise AssertionError

    async with serving(rooms.users(never)) as served:
        call: Any = served.channel.unary_unary("/feedmesh.graph.v1.UserService/GetUser")
        for garbage in (
            b"\xff" * 9,
            b"\x08",
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\x0b" * 500,
        ):
            with refuses(InvalidArgument, "BODY_INVALID"):
                await call(garbage)


async def test_no_caller_may_pass_as_forbidden() -> None:
    """PermissionDenied stays itself over the wire."""

    async def fails(_: Any) -> None:
        raise PermissionDenied("NOT_OWNER")

    async with serving(rooms.users(fails)) as served:
        with refuses(PermissionDenied, "NOT_OWNER"):
            await UserServiceStub(served.channel).GetUser(rooms.USER)


async def test_response_of_a_wrong_type_is_a_fault() -> None:
    """A handler that answers something else is our fault, not a broken stream."""

    async def answers(_: Any) -> Any:
        return rank_pb2.RankRequest

    async with serving(rooms.users(answers)) as served:
        with refuses(Internal, "INTERNAL"):
            await UserServiceStub(served.channel).GetUser(rooms.USER)


async def test_a_failure_after_the_caller_left_is_no_fault(logs: list[Any]) -> None:
    """Nobody is to answer, and nothing of ours is broken: no error in the log."""
    begun = asyncio.Event()

    async def stumbles(_: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("the stream is closed") from None

    async with serving(rooms.rank(stumbles)) as served:
        with calling_as(PEER):
            call: Any = RankServiceStub(served.channel).Rank(rooms.RANK)
        await begun.wait()
        call.cancel()
        await eventually(lambda: "call cancelled" in [line["event"] for line in logs])

    assert "call failed" not in [line["event"] for line in logs]
