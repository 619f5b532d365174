"""Bounds and names of partitions."""

import itertools
from datetime import timedelta

import pytest

from chassis import ids
from chassis.partitions import Bounds, RangePartitions
from chassis.testing import NOON


@pytest.mark.parametrize("width", [timedelta(hours=6), timedelta(days=1), timedelta(7)])
def test_partitions_follow_on_each_other_and_cover_now(width: timedelta) -> None:
    """No id falls between two of them."""
    post = RangePartitions("post", width, ahead=4)
    wanted = list(post.wanted(NOON))

    assert len(wanted) == 5
    assert wanted[0].first <= ids.floor_of(NOON) < wanted[0].beyond
    for one, next_one in itertools.pairwise(wanted):
        assert one.beyond == next_one.first
        assert not one.overlaps(next_one)
    assert len({bounds.name for bounds in wanted}) == 5


def test_the_same_partitions_are_wanted_all_day() -> None:
    """Bounds depend on the epoch, not on when somebody looks."""
    post = RangePartitions("post", timedelta(days=1), ahead=1)
    noon = list(post.wanted(NOON))

    assert list(post.wanted(NOON + timedelta(hours=11))) == noon
    assert next(post.wanted(NOON + timedelta(days=1))) == noon[1]


def test_a_partition_is_named_after_its_first_day() -> None:
    """Operators see what it holds."""
    post = RangePartitions("post", timedelta(days=1), ahead=0)
    [bounds] = post.wanted(NOON)

    assert bounds == Bounds(
        "post_y2026m03d01",
        ids.floor_of(NOON - timedelta(hours=12)),
        ids.floor_of(NOON + timedelta(hours=12)),
    )
