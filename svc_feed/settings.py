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

    idle_after: timedelta = timedelta(days=30)
    """How long a reader may stay away before fan-out passes over them."""

    pull_all_above: int = Field(default=2_000, ge=1)
    """Who follows more pulls all posts; pushed again below nine tenths of it."""

    pulled_ttl: timedelta = timedelta(seconds=30)
    """How long what a reader pulled is kept as their hot feed."""

    pull_in_flight: int = Field(default=4, ge=1)
    """Questions for posts of 500 authors that one pull has under way."""

    rebuild_seconds: float = Field(default=0.6, gt=0)
    """What a page may wait for posts to be pulled before it gives up."""

    rebuilds: int = Field(default=2, ge=1)
    """Indexes that one process completes in the background at the same time."""

    index_age: timedelta = timedelta(days=90)
    """Older posts are archived: feeds end there."""

    refresh_seconds: timedelta = timedelta(seconds=5)
    """A forced refresh more often than this is answered with the last page."""

    index_read_seconds: float = Field(default=0.4, gt=0)
    """What a page may wait for the index before it makes do with the hot feed."""

    graph_seconds: float = Field(default=0.15, gt=0)
    """What a page may wait for relations before it withholds what they decide."""

    rank_seconds: float = Field(default=0.08, gt=0)
    """What a page may wait for ranking before it is served newest first."""

    rank_in_flight: int = Field(default=256, ge=1)
    """Calls for ranking at the same time; more pages are served newest first."""

    fan_out_pages: int = Field(default=8, ge=1)
    """Pages of 1,000 followers that one process writes at the same time."""

    fan_out_batch: int = Field(default=5_000, ge=1)
    """Followers of one author who are served before other posts have their turn."""

    reading_near: timedelta = timedelta(hours=1)
    """How long fan-out takes somebody for a reader without asking again."""

    near_reading: int = Field(default=200_000, ge=1)
    """Readers of whom this process remembers that they read."""

    near_posts: int = Field(default=20_000, ge=1)
    """Posts kept in this process, for up to 30 seconds."""

    near_users: int = Field(default=20_000, ge=1)
    """Profiles kept in this process, for up to 30 seconds."""

    near_readers: int = Field(default=10_000, ge=1)
    """Readers whose relations are kept in this process, for up to 30 seconds."""

    near_celebrities: int = Field(default=5_000, ge=1)
    """Celebrities whose newest posts are kept in this process, for 30 seconds."""

    settle: timedelta = timedelta(seconds=60)
    """How long fan-out may take before a post counts as missing in an audit."""

    repairs: int = Field(default=1, ge=0)
    """Indexes that one process looks after at the same time when they are read."""

    repair_every: timedelta = timedelta(minutes=1)
    """How often the index of one reader is looked after."""

    audit_sample: float = Field(default=2.0, ge=0)
    """Readers whose index each worker audits a minute; 0 audits nobody."""

    audit_repair: bool = True
    """Whether what these audits find is repaired."""
