"""How svc_rank is put together. Nothing is constructed anywhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from feedmesh.rank.v1 import rank_pb2_grpc

from chassis.run import App

from .scoring import Weights
from .service import RankService
from .settings import RankSettings


@asynccontextmanager
async def assemble(settings: RankSettings) -> AsyncIterator[App]:
    """The service. It needs no engine and no peer, so it is ready when it serves."""
    weights = Weights(
        recency=settings.recency_weight,
        affinity=settings.affinity_weight,
        engagement=settings.engagement_weight,
        half_life_ms=settings.half_life / timedelta(milliseconds=1),
        engagement_scale=settings.engagement_scale,
        author_decay=settings.author_decay,
        author_floor=settings.author_floor,
    )
    yield App(
        name="svc_rank",
        rpcs={
            rank_pb2_grpc.add_RankServiceServicer_to_server: RankService(
                weights=weights
            )
        },
    )
