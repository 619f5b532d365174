"""`meshctl import follows`: people and follow edges, in bulk.

Through ImportUsers and ImportFollows, with a service token: no passwords, no
backfill, one event for a batch. Running it again changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc

from .patience import patiently

BATCH = 1_000
# Batches under way at once; more only queue at the database.
IN_FLIGHT = 4

T = TypeVar("T")
Advance = Callable[[int], None]
Edge = tuple[str, str]


@dataclass(frozen=True)
class ImportedFollows:
    """What an import came to."""

    people: int
    new_people: int
    follows: int
    new_follows: int


async def import_users(
    handles: Sequence[str],
    *,
    graph: graph_pb2_grpc.GraphServiceAsyncStub,
    advance: Advance = lambda _: None,
) -> tuple[dict[str, int], int]:
    """Ids by handle, and how many of them are new."""
    ids: dict[str, int] = {}
    created = 0

    async def one(batch: Sequence[str]) -> None:
        nonlocal created
        request = graph_pb2.ImportUsersRequest(
            users=[graph_pb2.ImportedUser(handle=handle) for handle in batch]
        )
        answer = await patiently(lambda: graph.ImportUsers(request))
        ids.update(zip(batch, answer.user_ids, strict=True))
        created += answer.created_count
        advance(len(batch))

    await _side_by_side(one, _batches(handles))
    return ids, created


async def import_follows(
    edges: Sequence[Edge],
    *,
    graph: graph_pb2_grpc.GraphServiceAsyncStub,
    on_people: Advance = lambda _: None,
    on_follows: Advance = lambda _: None,
) -> tuple[ImportedFollows, dict[str, int]]:
    """Creates whoever is named in edges, then the edges; answers ids by handle too."""
    handles = sorted({handle for edge in edges for handle in edge})
    ids, new_people = await import_users(handles, graph=graph, advance=on_people)

    pairs = sorted((ids[followee], ids[follower]) for follower, followee in edges)
    new_follows = 0

    async def one(batch: Sequence[tuple[int, int]]) -> None:
        nonlocal new_follows
        request = graph_pb2.ImportFollowsRequest(
            follower_ids=[follower for _, follower in batch],
            followee_ids=[followee for followee, _ in batch],
        )
        answer = await patiently(lambda: graph.ImportFollows(request))
        new_follows += answer.created_count
        on_follows(len(batch))

    # Far apart in the order of followees, so that batches under way at the same
    # time do not queue for the counts of the same person.
    await _side_by_side(one, _interleaved(_batches(pairs), IN_FLIGHT))
    return ImportedFollows(len(handles), new_people, len(edges), new_follows), ids


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[at : at + BATCH] for at in range(0, len(items), BATCH)]


def _interleaved(batches: Sequence[T], ways: int) -> list[T]:
    """The batches, dealt from `ways` equal stretches in turn."""
    stretch = -(-len(batches) // ways) or 1
    return [batch for start in range(stretch) for batch in batches[start::stretch]]


async def _side_by_side(
    run: Callable[[T], Awaitable[None]], items: Iterable[T]
) -> None:
    pending = iter(items)

    async def worker() -> None:
        for item in pending:
            await run(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(worker())
