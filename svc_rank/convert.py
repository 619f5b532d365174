"""Wire and domain of ranking, both ways."""

from __future__ import annotations

from feedmesh.rank.v1 import rank_pb2

from .model import TERM_NAMES, Candidates, Ranking


def candidates_from_pb(request: rank_pb2.RankRequest) -> Candidates:
    """The columns as lists: indexing a repeated field costs more than copying it."""
    return Candidates(
        as_of_ms=request.as_of_ms,
        post_ids=list(request.post_ids),
        author_ids=list(request.author_ids),
        create_times_ms=list(request.create_times_ms),
        affinities=list(request.affinities),
        like_counts=list(request.like_counts),
        comment_counts=list(request.comment_counts),
        share_counts=list(request.share_counts),
    )


def ranking_to_pb(ranking: Ranking) -> rank_pb2.RankResponse:
    return rank_pb2.RankResponse(
        order=ranking.order,
        scores=ranking.scores,
        term_names=TERM_NAMES,
        terms=ranking.terms,
        model_version=ranking.model_version,
    )
