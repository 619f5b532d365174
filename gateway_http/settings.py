"""What the gateway can be told."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from chassis.settings import ServiceSettings

from .exchange import Limits
from .streams import StreamLimits


class GatewaySettings(ServiceSettings):
    """Settings of gateway_http: FEEDMESH_GATEWAY_…"""

    room: ClassVar[str] = "gateway"

    ready_file: Path | None = None
    """/readyz says no until this file exists; for meshctl, which seeds a new mesh."""

    reuse_port: bool = False
    """Shares the port with other gateway processes (SO_REUSEPORT)."""

    trusted_proxies: str = ""
    """Addresses whose X-Forwarded-For is believed, comma-separated; nobody's when
    empty."""

    rate_profile: Literal["development", "production"] | None = None
    """Sizes of the rate limits; as env says when unset."""

    body_bytes: int = Field(default=64 * 1024, ge=1024)
    """Longest request body."""

    header_bytes: int = Field(default=16 * 1024, ge=1024)
    """Longest head of a request, without its first line."""

    header_count: int = Field(default=64, ge=8)
    """Most headers of a request."""

    uri_bytes: int = Field(default=4 * 1024, ge=256)
    """Longest path with query."""

    head_seconds: float = Field(default=5, gt=0)
    """How long the head of a request may take to come."""

    body_seconds: float = Field(default=10, gt=0)
    """How long the body may take to come."""

    stream_heartbeat: float = Field(default=15, gt=0)
    """Seconds of silence on a stream before a heartbeat; tokens are looked at again
    as often."""

    stream_max_age: float = Field(default=1800, gt=0)
    """Seconds after which a stream ends and its client comes again."""

    stream_write_timeout: float = Field(default=30, gt=0)
    """Seconds that a stream's client may take nothing before it is given up."""

    stream_outage: float = Field(default=30, gt=0)
    """Seconds for which a stream outlives its service without a word to the client."""

    @property
    def limits(self) -> Limits:
        """How much of a request is read."""
        return Limits(
            uri=self.uri_bytes,
            header_bytes=self.header_bytes,
            header_count=self.header_count,
            body=self.body_bytes,
            body_seconds=self.body_seconds,
        )

    @property
    def stream_limits(self) -> StreamLimits:
        """How long streams live, and how many."""
        return StreamLimits(
            heartbeat=self.stream_heartbeat,
            max_age=self.stream_max_age,
            write_timeout=self.stream_write_timeout,
            first=0.3,
            outage=self.stream_outage,
            streams=self.max_concurrent_streams,
        )

    @property
    def is_generous(self) -> bool:
        """Whether the rate limits are those of development."""
        if self.rate_profile is None:
            return self.env == "dev"
        return self.rate_profile == "development"
