"""Calls from the command line to the services of a local mesh.

Whoever may read the mesh's keys may do what a service may: commands sign the same
identity that services show each other.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
from prometheus_client import CollectorRegistry

from chassis import auth, secrets
from chassis.client import ChannelSettings, open_channel

from meshctl.layout import Layout

SERVICE = "meshctl"


def secrets_dir(layout: Layout) -> Path:
    """Where the keys of the mesh are."""
    return Path(os.environ.get("FEEDMESH_SECRETS_DIR") or layout.secrets)


@contextlib.asynccontextmanager
async def open_service(
    room: str, target: str, layout: Layout, *, token: str = ""
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a room ("graph"), called with a token or else with the keys.

    FileNotFoundError where there are no keys.
    """
    keys = secrets_dir(layout) / secrets.INTERNAL_KEYS
    settings = ChannelSettings(
        target=target,
        package=f"feedmesh.{room}.",
        service=SERVICE,
        keys={} if token else secrets.read_keys(keys),
        token=token,
    )
    async with open_channel(settings, metrics=CollectorRegistry()) as channel:
        yield channel


@contextlib.contextmanager
def acting_as(user_id: int) -> Iterator[None]:
    """Calls inside the block are made on behalf of a person."""
    with auth.calling_as(auth.Caller(user_id=user_id, role=auth.Role.USER)):
        yield
