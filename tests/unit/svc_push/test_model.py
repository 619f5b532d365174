"""Positions and changes."""

import pytest

from chassis.errors import InvalidArgument
from chassis.testing import NOON, refuses

from svc_push.model import (
    OpenLog,
    Position,
    PostId,
    UserId,
    added,
    from_ms,
    removed,
    to_ms,
)


def test_a_position_reads_back() -> None:
    """A client hands back what it was given."""
    position = Position("0a9z", 17)

    assert Position.parse(str(position)) == position


def test_no_position_is_none() -> None:
    """Empty means: from now on."""
    assert Position.parse("") is None


@pytest.mark.parametrize(
    "text",
    [
        "x",
        ":1",
        "a:",
        "A:1",
        "a:-1",
        "a:1 ",
        "a:1\n",
        "a:1\ndata: x",
        "a" * 17 + ":1",
        "a:" + "1" * 20,
        "a:\u0661",
        "a:1:2",
    ],
)
def test_a_malformed_position_is_refused(text: str) -> None:
    """It goes out again as the id of an SSE event: nothing else may pass."""
    with refuses(InvalidArgument, "POSITION_INVALID"):
        Position.parse(text)


@pytest.mark.parametrize(
    ("position", "reached"),
    [
        (Position("e", 3), True),
        (Position("e", 9), True),
        (Position("e", 2), False),
        (Position("e", 10), False),
        (Position("f", 5), False),
    ],
)
def test_a_log_reaches_from_its_floor_to_its_head(
    position: Position, reached: bool
) -> None:
    """Outside of it events would be missing, or were never there."""
    log = OpenLog(head=Position("e", 9), floor=3, checked_ms=0)

    assert log.reaches(position) is reached


def test_a_post_is_added_when_its_id_was_made() -> None:
    """Whoever notices it first, and when: the change is the same."""
    post = PostId(1 << 22)

    assert added(post, UserId(7)) == added(post, UserId(7))
    assert added(post, UserId(7)).occurred_ms == 1_735_689_600_001


def test_instants_keep_their_milliseconds() -> None:
    """What goes into a log comes out of it."""
    assert from_ms(to_ms(NOON)) == NOON
    assert removed(PostId(1), UserId(2), NOON).occurred == NOON
