"""What svc_rank can be told: the weights of the formula."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from chassis.settings import ServiceSettings


class RankSettings(ServiceSettings):
    """Settings of svc_rank: FEEDMESH_RANK_…"""

    room: ClassVar[str] = "rank"

    recency_weight: float = Field(default=1.0, ge=0)
    """What a new post counts for its newness."""

    affinity_weight: float = Field(default=0.6, ge=0)
    """What a post of somebody close counts for that."""

    engagement_weight: float = Field(default=0.8, ge=0)
    """What a new post with very many reactions counts for them."""

    half_life: timedelta = Field(default=timedelta(hours=6), gt=timedelta())
    """Age at which a post is worth half of what it was when new."""

    engagement_scale: float = Field(default=1_000, gt=0)
    """Weighted reactions from which on more make no difference."""

    author_decay: float = Field(default=0.6, ge=0, le=1)
    """What each further post of one author keeps of its score."""

    author_floor: float = Field(default=0.2, ge=0, le=1)
    """What even the last post of one author keeps of its score."""
