"""Logs: one line each, whose it is, and no secret in it (T27)."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from chassis import context, telemetry

JWT = "eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiI3In0.c2lnbmF0dXJl"


@pytest.fixture(name="lines")
def logged_lines() -> Iterator[Callable[[], list[Any]]]:
    out = io.BytesIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    telemetry.configure_logging("svc_feed", "info", out=out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


async def test_line_says_whose_it_is(lines: Callable[[], list[Any]]) -> None:
    """Service, request and trace join every line."""
    context.enter_request("r-1")
    context.enter_trace(f"00-{'a' * 32}-{'b' * 16}-01")
    structlog.get_logger().info("post placed", viewers=3)

    (line,) = lines()
    assert line["service"] == "svc_feed"
    assert (line["event"], line["viewers"], line["level"]) == ("post placed", 3, "info")
    assert (line["request_id"], line["trace_id"]) == ("r-1", "a" * 32)


@pytest.mark.parametrize(
    "facts",
    [
        {"password": "hunter2"},
        {"access_token": "hunter2"},
        {"Authorization": "Bearer hunter2"},
        {"headers": {"x-feedmesh-identity": "hunter2"}},
        {"settings": [{"internal_keys_secret": "hunter2"}]},
        {"url": "postgresql://me:hunter2@db/svc_feed"},
        {"text": "sent Bearer hunter2hunter2"},
        {"error": ValueError("cannot reach redis://:hunter2@v:1")},
    ],
    ids=str,
)
def test_no_secret_reaches_a_line(
    lines: Callable[[], list[Any]], facts: dict[str, Any]
) -> None:
    """By its name, by its look, at any depth."""
    structlog.get_logger().info("something", **facts)

    assert "hunter2" not in str(lines())
    assert "***" in str(lines())


def test_token_is_hidden_wherever_it_stands(lines: Callable[[], list[Any]]) -> None:
    """In a traceback too, and in what libraries log."""
    log = structlog.get_logger()
    try:
        raise ValueError(f"bad token {JWT}")
    except ValueError:
        log.exception("call failed")
    logging.getLogger("asyncpg").error("refused %s", JWT)

    assert len(lines()) == 2
    assert "eyJ" not in str(lines())
    assert "ValueError" in str(lines()[0]["exception"])


def test_line_breaks_stay_inside(lines: Callable[[], list[Any]]) -> None:
    """T29: nobody writes a line of their own into the log."""
    structlog.get_logger().info("post", text='x\r\n{"event": "forged"}' + "é" * 5000)

    (line,) = lines()
    assert line["event"] == "post"
    assert len(line["text"]) <= telemetry.MAX_TEXT


def test_bodies_are_not_logged(lines: Callable[[], list[Any]]) -> None:
    """Bytes show their size."""
    structlog.get_logger().info("event", payload=b"private words")

    assert lines()[0]["payload"] == "13 bytes"


def test_level_is_kept(lines: Callable[[], list[Any]]) -> None:
    """What is below it is not formatted, nor what libraries tell at info."""
    structlog.get_logger().debug("detail")
    logging.getLogger("nats").info("chatter")

    assert lines() == []


def test_reader_of_the_log_may_go_away(lines: Callable[[], list[Any]]) -> None:
    """A closed pipe must not fail the call that logged."""

    class Closed(io.BytesIO):
        def write(self, _: Any) -> int:
            raise BrokenPipeError

    telemetry.configure_logging("svc_feed", "info", out=Closed())
    structlog.get_logger().info("nobody reads this")

    assert lines() == []
