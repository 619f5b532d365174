"""RankService RPCs: columns in, order out."""

from __future__ import annotations

from grpc.aio import ServicerContext

from feedmesh.rank.v1 import rank_pb2, rank_pb2_grpc

from . import convert
from .scoring import Weights, rank


class RankService(rank_pb2_grpc.RankServiceServicer):
    """Scores one reader's candidates. Column lengths are checked by the contract."""

    def __init__(self, *, weights: Weights) -> None:
        self._weights = weights

    async def Rank(
        self,
        request: rank_pb2.RankRequest,
        context: ServicerContext[rank_pb2.RankRequest, rank_pb2.RankResponse],
    ) -> rank_pb2.RankResponse:
        candidates = convert.candidates_from_pb(request)
        return convert.ranking_to_pb(rank(candidates, self._weights))
