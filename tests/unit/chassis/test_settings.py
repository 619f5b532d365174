"""Settings: where they come from, what is refused, what is shown."""

import os
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from chassis import secrets
from chassis.settings import ServiceSettings


class FeedSettings(ServiceSettings):
    room: ClassVar[str] = "feed"

    near_posts: int = 20_000
    labels: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FEEDMESH_"):
            monkeypatch.delenv(name)


def test_defaults_serve_a_laptop() -> None:
    """Nothing has to be set for development."""
    settings = FeedSettings()

    assert (settings.port, settings.admin_port) == (50053, 50153)
    assert settings.service == "svc_feed"
    assert settings.internal_keys == secrets.DEVELOPMENT_KEYS


def test_admin_port_follows_port_and_worker() -> None:
    """Workers of one service have admin ports of their own."""
    assert FeedSettings(port=50063, worker=1).admin_port == 50263
    assert FeedSettings(port=0).admin_port == 0


def test_room_variable_wins_over_the_shared_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FEEDMESH_FEED_X is more exact than FEEDMESH_X; an argument wins over both."""
    monkeypatch.setenv("FEEDMESH_FEED_LOG_LEVEL", "error")
    monkeypatch.setenv("FEEDMESH_LOG_LEVEL", "debug")
    monkeypatch.setenv("FEEDMESH_DRAIN_SECONDS", "3")
    monkeypatch.setenv("FEEDMESH_FEED_NEAR_POSTS", "5")
    monkeypatch.setenv("FEEDMESH_FEED_LABELS", '["a", "b"]')
    monkeypatch.setenv("FEEDMESH_FEED_PAGE_TOKEN_TTL", "60")

    settings = FeedSettings(drain_seconds=1)

    assert settings.log_level == "error"
    assert settings.drain_seconds == 1
    assert settings.near_posts == 5
    assert settings.labels == ("a", "b")
    assert settings.page_token_ttl == timedelta(minutes=1)


@pytest.mark.parametrize(
    "name", ["FEEDMESH_LOG_LEVLE", "FEEDMESH_FEED_NEAR_POST", "FEEDMESH_NEAR_POSTS"]
)
def test_variable_that_nobody_reads_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A misspelt setting must not pass for a set one."""
    monkeypatch.setenv(name, "1")

    with pytest.raises(ValueError, match=name):
        FeedSettings()


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other rooms' settings, and what tools read, may stand in one environment."""
    monkeypatch.setenv("FEEDMESH_GRAPH_ANYTHING", "1")
    monkeypatch.setenv("FEEDMESH_DATA", "/data")

    FeedSettings()


def test_frozen() -> None:
    """Settings do not change while a service runs."""
    with pytest.raises(ValidationError):
        FeedSettings().port = 1  # type: ignore[misc]  # just so


def test_each_service_has_the_database_of_its_name() -> None:
    """One server, a database for each service."""
    settings = FeedSettings(postgres_url="postgresql://me:pw@db:1234/any?sslmode=off")

    assert settings.postgres.url == "postgresql://me:pw@db:1234/svc_feed?sslmode=off"
    assert settings.postgres.replica_url is None


def test_a_replica_holds_the_same_database() -> None:
    """The standby's address is that of the server, as the primary's is."""
    settings = FeedSettings(postgres_replica_url="postgresql://me:pw@standby/any")

    assert settings.postgres.replica_url == "postgresql://me:pw@standby/svc_feed"
    assert (
        settings.describe()["postgres_replica_url"] == "postgresql://me:***@standby/any"
    )


def test_channel_names_peer_and_self() -> None:
    """A channel knows where its room is, and who we are."""
    channel = FeedSettings(target_graph="10.0.0.1:1,10.0.0.2:1").channel("graph")

    assert channel.target == "10.0.0.1:1,10.0.0.2:1"
    assert (channel.package, channel.service) == ("feedmesh.graph.", "svc_feed")


def test_description_holds_no_password() -> None:
    """What is logged at the start can be read by everyone who reads logs."""
    described = FeedSettings(
        postgres_url="postgresql://me:hunter2@db/", valkey_url="redis://:hunter2@v:1"
    ).describe()

    assert "hunter2" not in str(described)
    assert described["postgres_url"] == "postgresql://me:***@db/"
    assert described["valkey_url"] == "redis://:***@v:1"


def test_channel_and_settings_show_no_key() -> None:
    """Keys do not reach a log by way of a repr."""
    channel = FeedSettings().channel("graph")

    assert "development-key" not in repr(channel)


def test_production_needs_secrets_of_its_own(tmp_path: Path) -> None:
    """Development secrets are known to everyone."""
    secrets.create_development(tmp_path)

    with pytest.raises(ValidationError, match="secrets_dir: required"):
        FeedSettings(env="prod")
    with pytest.raises(ValidationError, match="is for development"):
        FeedSettings(env="prod", secrets_dir=tmp_path)


def test_production_with_its_secrets_starts(tmp_path: Path) -> None:
    """Keys by files, without reflection."""
    for name in (secrets.INTERNAL_KEYS, secrets.PAGE_TOKEN_KEYS):
        (tmp_path / name).write_text("k2026:" + "QUFB" * 11 + "\n")

    settings = FeedSettings(env="prod", secrets_dir=tmp_path)

    assert list(settings.internal_keys) == ["k2026"]
    with pytest.raises(ValidationError, match="reflection"):
        FeedSettings(env="prod", secrets_dir=tmp_path, reflection=True)
