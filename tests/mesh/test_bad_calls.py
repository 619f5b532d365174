"""Bad calls to every RPC of the rooms: refused in words, never a fault (T9)."""

import grpc
import grpc.aio
import pytest

from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from chassis import secrets
from chassis.callers import Caller, Role
from chassis.identity import METADATA_KEY, InternalIdentity
from chassis.policy import MethodPlan, methods, services

from tests.support.footprint import contents, rows_of
from tests.support.mesh import Mesh
from tests.support.people import Person, sign_up
from tests.support.refusals import rpc_refusal

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

Metadata = list[tuple[str, str]]
INVALID = grpc.StatusCode.INVALID_ARGUMENT
UNARY = [plan for plan in methods().values() if not plan.server_streaming]
STREAMS = [plan for plan in methods().values() if plan.server_streaming]

# None of these is a message of any type.
NO_MESSAGES = {
    "cut short": b"\x0a\x05abc",
    "no tag": b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "varint of 11 bytes": b"\x08" + b"\xff" * 10 + b"\x01",
    "group never ended": b"\x0b" * 20,
    "groups 200 deep": b"\xfb\x3f" * 200 + b"\xfc\x3f" * 200,
    "wrong wire type": b"\x0f",
}
# Two thousand fields that nobody declared: valid, and nothing to anyone.
FLOOD = b"".join(b"\xa0\x9c\x01\x01" for _ in range(2_000))


def channel_of(mesh: Mesh, plan: MethodPlan) -> grpc.aio.Channel:
    return mesh.channel(f"svc_{plan.service.split('.')[1]}")


def as_peer(mesh: Mesh, person: Person) -> Metadata:
    """Metadata of a service, which may call everything."""
    keys = secrets.read_keys(mesh.data / "secrets" / secrets.INTERNAL_KEYS)
    peer = Caller(user_id=int(person.user_id), role=Role.INTERNAL, service="svc_feed")
    return [(METADATA_KEY, InternalIdentity(keys).sign(peer))]


async def call(
    channel: grpc.aio.Channel,
    plan: MethodPlan,
    request: bytes,
    metadata: Metadata,
    timeout: float | None = 5,
) -> grpc.aio.AioRpcError | None:
    """How the call failed; None when it did not."""
    path = plan.full_name
    try:
        if plan.server_streaming:
            many: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
            many = channel.unary_stream(path)
            stream = many(request, metadata=metadata, timeout=timeout)
            await stream.read()
            stream.cancel()
        else:
            one: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            one = channel.unary_unary(path)
            await one(request, metadata=metadata, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        return error
    return None


@pytest.mark.parametrize("name", NO_MESSAGES)
async def test_what_is_no_message_is_refused(mesh: Mesh, name: str) -> None:
    """By every RPC with the same words, as a mistake of the caller."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
    for service in services():
        plans = [plan for plan in methods().values() if plan.service == service]
        async with channel_of(mesh, plans[0]) as channel:
            for plan in plans:
                failure = await call(
                    channel, plan, NO_MESSAGES[name], as_peer(mesh, ann)
                )

                assert failure is not None, plan.full_name
                assert rpc_refusal(failure) == (INVALID, "BODY_INVALID")


async def test_fields_of_nobody_are_no_fault(mesh: Mesh) -> None:
    """A flood of unknown fields is refused or ignored, never INTERNAL or UNKNOWN."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
    for plan in methods().values():
        if plan.method == "DeleteUser":
            continue
        async with channel_of(mesh, plan) as channel:
            failure = await call(channel, plan, FLOOD, as_peer(mesh, ann))

        if failure is not None:
            _, reason = rpc_refusal(failure)
            assert reason != "INTERNAL", plan.full_name


async def test_text_that_is_no_utf8_is_refused(mesh: Mesh) -> None:
    """In the wire form, where JSON has no say."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
        plan = methods()["/feedmesh.ingest.v1.PostService/CreatePost"]
        async with channel_of(mesh, plan) as channel:
            failure = await call(channel, plan, b"\x0a\x03a\xffb", as_peer(mesh, ann))

        assert failure is not None
        assert rpc_refusal(failure) == (INVALID, "BODY_INVALID")
        assert await rows_of(mesh, [ann.user_id]) == {
            "svc_graph.account.user_id": 1,
            "svc_graph.credential.user_id": 1,
            "svc_graph.session.user_id": 1,
        }


async def test_what_is_too_large_is_not_read(mesh: Mesh) -> None:
    """Above the limit of a message: refused by gRPC itself, and the room lives."""
    async with mesh.client() as client:
        ann = await sign_up(client, "ann")
    for plan in {plan.service: plan for plan in UNARY}.values():
        async with channel_of(mesh, plan) as channel:
            failure = await call(channel, plan, b"\0" * 5_000_000, as_peer(mesh, ann))
            again = await call(channel, plan, b"\xff", as_peer(mesh, ann))

        assert failure is not None
        assert failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert again is not None
        assert again.code() is INVALID


async def test_a_deadline_that_is_gone_does_nothing(mesh: Mesh) -> None:
    """Less than what a call takes at least: refused before anything is done."""
    async with mesh.client() as client:
        ann, ben = await sign_up(client, "ann"), await sign_up(client, "ben")
        post = await ben.post("mine")
        people = [ann.user_id, ben.user_id]
        before = await rows_of(mesh, people), await contents(mesh, people)

        for plan in (*UNARY, *STREAMS):
            if plan.is_long_lived:
                continue
            async with channel_of(mesh, plan) as channel:
                await channel.channel_ready()
                failure = await call(channel, plan, b"", as_peer(mesh, ann), 0.004)
            assert failure is not None, plan.full_name
            assert failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED, plan.full_name
        async with mesh.channel("svc_ingest") as channel:
            await channel.channel_ready()
            stub = post_pb2_grpc.PostServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as late:
                await stub.LikePost(
                    post_pb2.LikePostRequest(post_id=int(post)),
                    metadata=as_peer(mesh, ann),
                    timeout=0.004,
                )
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

        assert (await rows_of(mesh, people), await contents(mesh, people)) == before


async def test_a_method_of_nobody_is_unimplemented(mesh: Mesh) -> None:
    """An RPC of another room, one that is not declared, one with a strange path."""
    for room, path in (
        ("svc_feed", "/feedmesh.graph.v1.UserService/GetUser"),
        ("svc_graph", "/feedmesh.graph.v1.UserService/DropUser"),
        ("svc_graph", "/../GetUser"),
    ):
        async with mesh.channel(room) as channel:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            method = channel.unary_unary(path)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(b"", timeout=5)

        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
