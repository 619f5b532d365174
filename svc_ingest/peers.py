"""svc_graph, as this room needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from feedmesh.graph.v1 import graph_pb2

from chassis.errors import DeadlineExceeded, MeshError, ResourceExhausted, Unavailable

from domain.visibility import Relation

from .model import UserId

if TYPE_CHECKING:
    # The generated module has this name for type checkers alone.
    from feedmesh.graph.v1.graph_pb2_grpc import GraphServiceAsyncStub


class GraphPeer:
    """Graph over the stub of svc_graph."""

    def __init__(self, *, stub: GraphServiceAsyncStub) -> None:
        self._stub = stub

    async def relations(
        self, viewer: UserId, people: Sequence[UserId]
    ) -> Mapping[UserId, Relation]:
        request = graph_pb2.GetRelationsRequest(viewer_id=viewer, user_ids=people)
        try:
            answer = await self._stub.GetRelations(request)
        except (DeadlineExceeded, ResourceExhausted, Unavailable) as error:
            raise relations_unavailable(error) from error
        relations = {
            UserId(relation.user_id): relation_from_pb(relation)
            for relation in answer.relations
        }
        if not relations.keys() >= set(people):
            raise relations_unavailable(None)
        return relations


def relation_from_pb(relation: graph_pb2.Relation) -> Relation:
    """A relation as the rules of visibility take it."""
    return Relation(
        is_following=relation.is_following,
        is_followed_by=relation.is_followed_by,
        is_blocking=relation.is_blocking,
        is_blocked_by=relation.is_blocked_by,
        is_muting=relation.is_muting,
        is_private=relation.is_private,
        state=relation.state,
    )


def relations_unavailable(cause: MeshError | None) -> Unavailable:
    """What is unknown is not shown: the call fails instead."""
    retry_after = cause.retry_after if cause else None
    return Unavailable("RELATIONS_UNAVAILABLE", retry_after=retry_after or 1.0)
