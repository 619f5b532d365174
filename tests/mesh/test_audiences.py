"""Who may call what: every declared method with every role (T5), and whose word counts.

The table is kept by hand, apart from the policies in the contract.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import grpc
import grpc.aio
import pytest

from chassis import secrets
from chassis.callers import Caller, Role
from chassis.identity import METADATA_KEY, InternalIdentity
from chassis.policy import methods

from tests.support.mesh import Mesh
from tests.support.people import sign_up

# In the loop that the mesh was started in.
pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLE = Path(__file__).with_name("audiences.txt")
ROLES = ("anonymous", "user", "admin", "service", "internal")
REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}

Metadata = list[tuple[str, str]]


def table() -> dict[str, list[str]]:
    lines = TABLE.read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {row[0]: row[1:] for row in rows}


async def credentials(mesh: Mesh) -> Mapping[str, Metadata]:
    """Metadata of each role; `as` is a service that acts as the user."""
    async with mesh.client() as client:
        user = await sign_up(client, "user")
    admin = await mesh.token(user.handle, "--admin")
    service = ("authorization", f"Bearer {await mesh.token('robot', '--service')}")
    keys = secrets.read_keys(mesh.data / "secrets" / secrets.INTERNAL_KEYS)
    peer = Caller(user_id=int(user.user_id), role=Role.INTERNAL, service="svc_feed")
    return {
        "anonymous": [],
        "user": [("authorization", f"Bearer {user.token}")],
        "admin": [("authorization", f"Bearer {admin}")],
        "service": [service],
        "as": [service, ("x-feedmesh-act-as", user.user_id)],
        "internal": [(METADATA_KEY, InternalIdentity(keys).sign(peer))],
    }


async def is_refused(
    channel: grpc.aio.Channel, method: str, metadata: Metadata
) -> bool:
    """Whether the role stops the call; a request that breaks rules is let in first."""
    # No field is set: whatever requires one answers INVALID_ARGUMENT, and the rest
    # is harmless.
    path, request = f"/{method}", b""
    try:
        if methods()[path].server_streaming:
            subscribe: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
            subscribe = channel.unary_stream(path)
            stream = subscribe(request, metadata=metadata, timeout=5)
            await stream.read()
            stream.cancel()
        else:
            unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            unary = channel.unary_unary(path)
            await unary(request, metadata=metadata, timeout=5)
    except grpc.aio.AioRpcError as error:
        return error.code() in REFUSED
    return False


async def test_the_table_has_every_method() -> None:
    """A new method without a row fails."""
    declared = {path.removeprefix("/") for path in methods()}

    assert set(table()) == declared


async def test_every_method_admits_the_roles_of_the_table(mesh: Mesh) -> None:
    """What the table does not allow is refused, what it allows is not."""
    known = await credentials(mesh)
    wrong: list[str] = []
    async with asyncio.TaskGroup() as group:
        for method, allowed in table().items():
            group.create_task(_row(mesh, method, allowed, known, wrong))

    assert wrong == []


async def _row(
    mesh: Mesh,
    method: str,
    allowed: list[str],
    known: Mapping[str, Metadata],
    wrong: list[str],
) -> None:
    room = f"svc_{method.split('.')[1]}"
    async with mesh.channel(room) as channel:
        for role, cell in zip(ROLES, allowed, strict=True):
            refused = await is_refused(channel, method, known[role])
            if refused != (cell != "yes"):
                wrong.append(f"{method} as {role}: {refused=}, the table says {cell}")
            if cell == "as" and await is_refused(channel, method, known["as"]):
                wrong.append(f"{method} as a service that acts for a person")


async def test_only_services_act_as_somebody_else(mesh: Mesh) -> None:
    """A person's own token with an act-as header is refused, not obeyed (T1)."""
    known = await credentials(mesh)
    method = "/feedmesh.graph.v1.GraphService/ListBlocks"
    async with mesh.client() as client:
        victim = await sign_up(client, "victim")
    act_as = ("x-feedmesh-act-as", victim.user_id)

    async with mesh.channel("svc_graph") as channel:
        for role in ("anonymous", "user", "admin"):
            assert await is_refused(channel, method[1:], [*known[role], act_as])


async def test_an_identity_nobody_signed_is_refused(mesh: Mesh) -> None:
    """The internal identity counts only with a signature of the mesh (T1)."""
    forged = InternalIdentity({"dev": b"0" * 32}).sign(
        Caller(user_id=1, role=Role.INTERNAL, service="svc_feed")
    )
    method = "feedmesh.graph.v1.GraphService/GetReach"

    async with mesh.channel("svc_graph") as channel:
        assert await is_refused(channel, method, [(METADATA_KEY, forged)])


async def test_identity_from_the_outside_is_ignored_at_the_edge(mesh: Mesh) -> None:
    """Headers that services trust do not pass the gateway (T1)."""
    keys = secrets.read_keys(mesh.data / "secrets" / secrets.INTERNAL_KEYS)
    async with mesh.client() as client:
        victim = await sign_up(client, "victim")
        stolen = InternalIdentity(keys).sign(
            Caller(user_id=int(victim.user_id), role=Role.USER)
        )
        answer = await client.get("/v1/feed", headers={METADATA_KEY: stolen})

        assert answer.status_code == 401
