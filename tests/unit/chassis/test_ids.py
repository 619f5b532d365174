"""Time-ordered ids."""

from datetime import UTC, datetime, timedelta

import pytest

from chassis import ids
from chassis.ids import Ids
from chassis.testing import NOON, FakeClock


def test_ids_grow_within_and_beyond_a_millisecond() -> None:
    """Each is larger than the one before, also after 4,096 of one millisecond."""
    maker = Ids(clock=FakeClock(), node=5)
    made = [maker.next() for _ in range(10_000)]

    assert made == sorted(set(made))
    assert ids.time_of(made[0]) == NOON


def test_ids_do_not_go_back_with_the_clock() -> None:
    """They go on from the last one until the clock has caught up."""
    clock = FakeClock()
    maker = Ids(clock=clock, node=5)
    before = maker.next()
    clock.jump(-3600)
    after = maker.next()
    clock.jump(7200)

    assert after > before
    assert ids.time_of(maker.next()) == NOON + timedelta(hours=1)


def test_two_nodes_never_make_the_same_id() -> None:
    """The node is part of the id."""
    one, two = (Ids(clock=FakeClock(), node=node) for node in (0, 1023))
    made = [maker.next() for maker in (one, two) for _ in range(5000)]

    assert len(set(made)) == 10_000


def test_an_id_fits_a_signed_64_bit_column() -> None:
    """Until 2094."""
    clock = FakeClock(datetime(2094, 1, 1, tzinfo=UTC))

    assert Ids(clock=clock, node=1023).next() < 1 << 63


def test_the_floor_is_the_smallest_id_of_an_instant() -> None:
    """A keyset by time begins there."""
    made = Ids(clock=FakeClock(), node=0).next()

    assert ids.floor_of(NOON) <= made < ids.floor_of(NOON + timedelta(milliseconds=1))
    assert ids.ms_of(made) == NOON.timestamp() * 1000
    assert ids.floor_of(datetime(2020, 1, 1, tzinfo=UTC)) == 0


def test_a_node_is_a_number_below_1024() -> None:
    """Ten bits."""
    with pytest.raises(ValueError, match="1024"):
        Ids(clock=FakeClock(), node=1024)
