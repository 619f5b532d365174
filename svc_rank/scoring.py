"""The scoring formula. Pure and deterministic: no clock, no chance, no state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from .model import Candidates, Ranking

# Weights of one reaction, relative to a like: writing and passing on take more
# resolve than a tap. Shares also carry a post to others.
COMMENT_WEIGHT = 2.0
SHARE_WEIGHT = 3.0

LN2 = math.log(2.0)


@dataclass(frozen=True, slots=True)
class Weights:
    """What the terms of a score count for."""

    recency: float
    affinity: float
    engagement: float

    half_life_ms: float
    """Age at which a post is worth half of what it was when new."""

    engagement_scale: float
    """Weighted reactions at which the engagement term reaches its whole weight."""

    author_decay: float
    """What each further post of an author keeps of its score, between 0 and 1."""

    author_floor: float
    """What even the last post of an author keeps."""

    @property
    def model_version(self) -> str:
        """Name of the formula with its numbers: another name, another order."""
        return (
            f"linear-1/r{self.recency:g}-a{self.affinity:g}-e{self.engagement:g}"
            f"-h{self.half_life_ms / 3_600_000:g}-s{self.engagement_scale:g}"
            f"-d{self.author_decay:g}-f{self.author_floor:g}"
        )


def rank(candidates: Candidates, weights: Weights) -> Ranking:
    """Order candidates by the sum of four terms.

    - recency: exponential decay with a half-life. As in forward decay (Cormode,
      Shkapenyuk, Srivastava, Xu: "Forward Decay", ICDE 2009), the order of two posts
      by this term does not depend on when they are compared.
    - affinity: how close the reader is to the author, 0 to 1; with the next two the
      three factors of Facebook's EdgeRank (Sanghvi and Steinberg, f8 2010), added
      here instead of multiplied, so that each can be explained by itself.
    - engagement: weighted reactions, damped by a logarithm, as in Reddit's "hot"
      (Salihefendic 2010): the first ten count as much as the next hundred. It fades
      with twice the half-life, or old successes would stay on top for ever.
    - diversity: what the k-th post of an author loses, by the multiplier
      (1 - floor) * decay**k + floor of X's author diversity scorer (twitter
      /the-algorithm, home-mixer, 2023).

    Re-ranking is greedy, as in maximal marginal relevance (Carbonell and Goldstein,
    SIGIR 1998): always take the best of what is left, given what was taken. The
    multiplier falls with k and scores are not negative, so an author's posts are
    taken in the order of their base score; the k-th of an author is therefore known
    beforehand, and one sort by the discounted score is the greedy order.

    Ties go to the newer post, so that the order is total.
    """
    recency, engagement = _fading_terms(candidates, weights)
    affinity = [
        weights.affinity * _unit(value)
        for value in _column(candidates.affinities, candidates)
    ]
    base = [
        fresh + close + busy
        for fresh, close, busy in zip(recency, affinity, engagement, strict=True)
    ]
    diversity = _diversity(base, candidates, weights)
    scores = [whole + loss for whole, loss in zip(base, diversity, strict=True)]

    return Ranking(
        order=_best_first(scores, candidates.post_ids),
        scores=scores,
        terms=list(
            chain.from_iterable(
                zip(recency, affinity, engagement, diversity, strict=True)
            )
        ),
        model_version=weights.model_version,
    )


def _fading_terms(
    candidates: Candidates, weights: Weights
) -> tuple[list[float], list[float]]:
    rate = LN2 / weights.half_life_ms
    unit = weights.engagement / math.log1p(weights.engagement_scale)
    recency: list[float] = []
    engagement: list[float] = []
    for created, likes, comments, shares in zip(
        candidates.create_times_ms,
        _column(candidates.like_counts, candidates),
        _column(candidates.comment_counts, candidates),
        _column(candidates.share_counts, candidates),
        strict=True,
    ):
        age = max(0, candidates.as_of_ms - created)
        recency.append(weights.recency * math.exp(-rate * age))
        reactions = (
            max(0, likes)
            + COMMENT_WEIGHT * max(0, comments)
            + SHARE_WEIGHT * max(0, shares)
        )
        damped = min(weights.engagement, unit * math.log1p(reactions))
        engagement.append(damped * math.exp(-0.5 * rate * age))
    return recency, engagement


def _diversity(
    base: list[float], candidates: Candidates, weights: Weights
) -> list[float]:
    """What each candidate loses for those of its author that come before it."""
    losses = [0.0] * len(base)
    kept: dict[int, float] = {}
    span = 1.0 - weights.author_floor
    for index in _best_first(base, candidates.post_ids):
        author = candidates.author_ids[index]
        share = kept.get(author, 1.0)
        losses[index] = base[index] * (span * share + weights.author_floor - 1.0)
        kept[author] = share * weights.author_decay
    return losses


def _best_first(scores: Sequence[float], post_ids: Sequence[int]) -> list[int]:
    return sorted(
        range(len(scores)), key=lambda index: (-scores[index], -post_ids[index])
    )


def _column(column: Sequence[float], candidates: Candidates) -> Iterable[float]:
    """The column itself, or as many zeros where it was left out."""
    return column or repeat(0, len(candidates.post_ids))


def _unit(value: float) -> float:
    """Between 0 and 1; not a number counts as nothing."""
    return min(1.0, value) if value > 0.0 else 0.0
