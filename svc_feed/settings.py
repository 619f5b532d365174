"""What svc_feed can be told."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from chassis.settings import ServiceSettings

from .position import MOST


class FeedSettings(ServiceSettings):
    """Settings of svc_feed: FEEDMESH_FEED_…"""

    room: ClassVar[str] = "feed"

    rank_candidates: int = Field(default=100, ge=1, le=MOST)
    """Newest posts that are ranked for a first page; the rest follows newest first."""

    page_budget: int = Field(default=600, ge=100)
    """Entries looked at for one page before it is cut short."""

    hot_window: int = Field(default=500, ge=100)
    """Entries of a hot feed; it is trimmed when it is twice as long."""

    hot_ttl: timedelta = timedelta(hours=24)
    """How long a hot feed is kept before it is built anew from the index."""

    index_read_seconds: float = Field(default=0.4, gt=0)
    """What a page may wait for the index before it makes do with the hot feed."""

    graph_seconds: float = Field(default=0.15, gt=0)
    """What a page may wait for relations before it withholds what they decide."""

    rank_seconds: float = Field(default=0.08, gt=0)
    """What a page may wait for ranking before it is served newest first."""

    rank_in_flight: int = Field(default=256, ge=1)
    """Calls for ranking at the same time; more pages are served newest first."""

    fan_out_pages: int = Field(default=4, ge=1)
    """Pages of 1,000 followers written at the same time for one post."""

    near_posts: int = Field(default=20_000, ge=1)
    """Posts kept in this process, for up to 30 seconds."""

    near_users: int = Field(default=20_000, ge=1)
    """Profiles kept in this process, for up to 30 seconds."""

    near_readers: int = Field(default=10_000, ge=1)
    """Readers whose relations are kept in this process, for up to 30 seconds."""

    near_celebrities: int = Field(default=5_000, ge=1)
    """Celebrities whose newest posts are kept in this process, for 30 seconds."""
