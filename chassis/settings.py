"""Settings every service has: read once from the environment, frozen, documented.

A field is read from FEEDMESH_<ROOM>_<FIELD>, and a shared one also from
FEEDMESH_<FIELD>. A variable with our prefix that nobody reads stops the start: a
misspelt limit must not pass for a set one.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from chassis import secrets
from chassis.client import ChannelSettings
from chassis.environment import PORTS, RoomEnvironment

if TYPE_CHECKING:
    from chassis.bus import NatsSettings
    from chassis.postgres import PostgresSettings
    from chassis.valkey import ValkeySettings

RoleName = Literal["all", "rpc", "worker"]


class ServiceSettings(BaseSettings):
    """What every service can be told. Rooms subclass it, name themselves and add."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    room: ClassVar[str] = ""
    """Short name of the room: "feed" reads FEEDMESH_FEED_… and owns svc_feed."""

    env: Literal["dev", "prod"] = "dev"
    """prod refuses development secrets and reflection."""

    role: RoleName = "all"
    """rpc serves calls, worker consumes events and does background work, all both."""

    host: str = "127.0.0.1"
    """Address to listen on, for calls and for the admin port."""

    port: int = Field(default=0, ge=0, le=65535)
    """Port for calls; the room's usual one when unset, any free one when 0."""

    admin_port: int = Field(default=0, ge=0, le=65535)
    """Port of /metrics, /livez, /readyz; port + 100 * (worker + 1) when unset."""

    worker: int = Field(default=0, ge=0, le=8)
    """Number of this process among those of one service on one host."""

    postgres_url: str = "postgresql://postgres@127.0.0.1:5432/"
    """Postgres server; each service uses the database of its own name on it."""

    postgres_replica_url: str | None = None
    """Streaming standby of it for reads that may trail by seconds; may be away."""

    valkey_url: str = "redis://127.0.0.1:6379/0"
    """Valkey node, or one node of the cluster."""

    nats_url: str = "nats://127.0.0.1:4222"
    """NATS server, or several, comma-separated."""

    secrets_dir: Path | None = None
    """Folder with internal_keys, page_token_keys, jwks.json (and signing_key.pem)."""

    target_graph: str = f"127.0.0.1:{PORTS['graph']}"
    """svc_graph: host:port, or several, comma-separated, called in turn."""

    target_ingest: str = f"127.0.0.1:{PORTS['ingest']}"
    """svc_ingest, in the same form."""

    target_feed: str = f"127.0.0.1:{PORTS['feed']}"
    """svc_feed, in the same form."""

    target_rank: str = f"127.0.0.1:{PORTS['rank']}"
    """svc_rank, in the same form."""

    target_push: str = f"127.0.0.1:{PORTS['push']}"
    """svc_push, in the same form."""

    reflection: bool = False
    """Whether the server describes itself to tools such as buf curl."""

    otel_endpoint: str | None = None
    """OTLP/gRPC collector (http://host:4317); no spans are made when unset."""

    otel_sample_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of new traces that are kept; callers' decisions are followed."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""

    drain_seconds: float = Field(default=25, ge=0)
    """How long calls and events under way may take to finish at shutdown."""

    linger_seconds: float = Field(default=0.2, ge=0)
    """Between NOT_SERVING and refusing calls: time for callers to see it."""

    page_token_ttl: timedelta = timedelta(days=1)
    """How long a page token is good; a bare number is seconds."""

    max_concurrent_calls: int = Field(default=256, ge=1)
    """Unary calls served at the same time; more are refused as OVERLOADED."""

    max_concurrent_streams: int = Field(default=4096, ge=1)
    """Long-lived streams served at the same time."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment; there is no other source."""
        shared = set(ServiceSettings.model_fields)
        return init_settings, RoomEnvironment(settings_cls, shared=shared)

    @model_validator(mode="before")
    @classmethod
    def _usual_ports(cls, data: dict[str, Any]) -> dict[str, Any]:
        ours = dict(data)
        default = cls.model_fields["port"].default or PORTS.get(cls.room, 0)
        port = int(ours.setdefault("port", default))
        if "admin_port" not in ours:
            step = 100 * (int(ours.get("worker", 0)) + 1)
            ours["admin_port"] = port + step if port else 0
        return ours

    @model_validator(mode="after")
    def _fit_for_production(self) -> "ServiceSettings":
        if self.env == "prod":
            if self.secrets_dir is None:
                raise ValueError("secrets_dir: required in production")
            if self.reflection:
                raise ValueError("reflection: not in production")
            for name in (secrets.INTERNAL_KEYS, secrets.PAGE_TOKEN_KEYS):
                for kid in secrets.read_keys(self.secrets_dir / name):
                    if kid.startswith(secrets.DEVELOPMENT):
                        raise ValueError(f"{name}: key {kid} is for development")
        return self

    @field_validator("secrets_dir")
    @classmethod
    def _is_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError(f"{value} is not a folder")
        return value

    @property
    def service(self) -> str:
        """Name of this service: svc_feed, gateway_http."""
        return "gateway_http" if self.room == "gateway" else f"svc_{self.room}"

    @property
    def internal_keys(self) -> Mapping[str, bytes]:
        """Keys of the identity that services show each other."""
        return self._keys(secrets.INTERNAL_KEYS)

    @property
    def page_token_keys(self) -> Mapping[str, bytes]:
        """Keys of page tokens."""
        return self._keys(secrets.PAGE_TOKEN_KEYS)

    def _keys(self, name: str) -> Mapping[str, bytes]:
        if self.secrets_dir is None:
            return secrets.DEVELOPMENT_KEYS
        return secrets.read_keys(self.secrets_dir / name)

    @property
    def postgres(self) -> "PostgresSettings":
        """The database of this service's own name on the Postgres server."""
        # Imported here: a service without a database does not load its driver.
        from chassis.postgres import PostgresSettings  # noqa: PLC0415 - see above

        replica = self.postgres_replica_url
        return PostgresSettings(
            url=self._own_database(self.postgres_url),
            replica_url=None if replica is None else self._own_database(replica),
        )

    def _own_database(self, server: str) -> str:
        return urlunsplit(urlsplit(server)._replace(path=f"/{self.service}"))

    @property
    def valkey(self) -> "ValkeySettings":
        """How to reach Valkey."""
        from chassis.valkey import ValkeySettings  # noqa: PLC0415 - as for postgres

        return ValkeySettings(url=self.valkey_url)

    @property
    def nats(self) -> "NatsSettings":
        """How to reach NATS."""
        from chassis.bus import NatsSettings  # noqa: PLC0415 - as for postgres

        return NatsSettings(url=self.nats_url)

    def channel(self, room: str, *, as_caller: bool = False) -> ChannelSettings:
        """How to call another room: "graph", "ingest", "feed", "rank", "push".

        as_caller is for the edge: calls go out as the caller's own role instead of
        as a service of the mesh.
        """
        return ChannelSettings(
            target=getattr(self, f"target_{room}"),
            package=f"feedmesh.{room}.",
            service=self.service,
            keys=self.internal_keys,
            as_caller=as_caller,
        )

    def describe(self) -> dict[str, str]:
        """All fields as text, for the log; passwords in addresses are taken out."""
        return {
            name: _without_password(str(getattr(self, name)))
            for name in type(self).model_fields
        }


def _without_password(value: str) -> str:
    parts = urlsplit(value) if "://" in value else None
    if parts is None or parts.password is None:
        return value
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
