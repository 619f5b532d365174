"""Value types of ranking, in columns: the n-th entry of each list is one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Names of the addends of a score, in the order of a row of terms.
TERM_NAMES = ("recency", "affinity", "engagement", "diversity")


@dataclass(frozen=True, slots=True)
class Candidates:
    """The posts to rank, each once. Feature columns are full or empty (all zero)."""

    as_of_ms: int
    """From when age is counted, milliseconds since the Unix epoch."""

    post_ids: Sequence[int]
    author_ids: Sequence[int]
    create_times_ms: Sequence[int]
    affinities: Sequence[float] = ()
    like_counts: Sequence[int] = ()
    comment_counts: Sequence[int] = ()
    share_counts: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order, and how it came about."""

    order: list[int]
    """Indexes of the candidates, best first; a permutation."""

    scores: list[float]
    """Score of each candidate, in the order they came."""

    terms: list[float]
    """Rows of TERM_NAMES, one after the other, in the order they came."""

    model_version: str
