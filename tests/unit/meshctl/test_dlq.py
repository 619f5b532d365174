"""What operators may type for a moment."""

from datetime import UTC, datetime, timedelta

import pytest
import typer

from meshctl.dlq import since_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("", None),
        ("90s", NOON - timedelta(seconds=90)),
        ("30m", NOON - timedelta(minutes=30)),
        ("2h", NOON - timedelta(hours=2)),
        ("7d", NOON - timedelta(days=7)),
        ("2026-02-28T10:00", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("2026-02-28T10:00+02:00", datetime(2026, 2, 28, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_an_age_or_an_iso_time(said: str, moment: datetime | None) -> None:
    """A bare time is in UTC, as all that is shown."""
    assert since_of(said, NOON) == moment


@pytest.mark.parametrize("said", ["yesterday", "2 h", "2w", "h"])
def test_what_is_no_moment_is_refused_with_what_would_be(said: str) -> None:
    """The complaint teaches."""
    with pytest.raises(typer.BadParameter, match="30m, 2h, 7d"):
        since_of(said, NOON)
