"""What svc_push can be told."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from chassis.settings import ServiceSettings


class PushSettings(ServiceSettings):
    """Settings of svc_push: FEEDMESH_PUSH_…"""

    room: ClassVar[str] = "push"

    heartbeat: timedelta = timedelta(seconds=15)
    """Between two heartbeats of a stream; a lost hint is made good by the next."""

    streams_per_user: int = Field(default=5, ge=1)
    """Live streams of one person, over all processes."""

    queue_events: int = Field(default=256, ge=1, le=1000)
    """Events that may wait for one slow client before its stream is ended."""

    log_events: int = Field(default=1000, ge=1, le=5000)
    """Newest events of a reader's log that are kept."""

    log_retention: timedelta = timedelta(hours=1)
    """How long events are kept, and how long after they left a reader's log goes on."""

    celebrity_refresh: timedelta = timedelta(minutes=5)
    """How often it is asked again whom a connected reader follows."""

    standing_check: timedelta = timedelta(seconds=60)
    """How often it is asked whether people with a live stream still have an account;
    events tell at once, this makes a lost one good."""

    celebrity_overlap: timedelta = timedelta(seconds=30)
    """How much earlier than the last look each look for missed posts begins; longer
    than any post takes from its id to its commit."""
