"""What svc_ingest can be told."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from chassis.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """Settings of svc_ingest: FEEDMESH_INGEST_…"""

    room: ClassVar[str] = "ingest"

    commit_window: timedelta = timedelta(milliseconds=2)
    """How long a new post waits for others to share its commit."""

    commit_size: int = Field(default=100, ge=1, le=1000)
    """Posts that share a commit at most."""

    copy_ttl: timedelta = timedelta(minutes=10)
    """How long a copy of a post, its counts or a person's actions lives in Valkey."""

    count_grace: timedelta = timedelta(seconds=1)
    """How long a count may trail its rows before a reconciliation calls it wrong."""

    tombstone_ttl: timedelta = timedelta(days=90)
    """How long an author who deletes a post again is told that it is gone."""
