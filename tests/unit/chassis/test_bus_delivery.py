"""How retries are spaced."""

from chassis.bus_delivery import spaced
from chassis.bus_settings import NatsSettings

LADDER = NatsSettings(url="").ladder


def test_retries_are_spaced_by_the_ladder_give_or_take_a_fifth() -> None:
    """Longer each time, and never all at the same moment."""
    for attempt, step in enumerate(LADDER, start=1):
        delays = [spaced(LADDER, attempt) for _ in range(100)]

        assert min(delays) >= 0.8 * step
        assert max(delays) <= 1.2 * step
        assert len(set(delays)) > 1


def test_the_ladder_ends_at_its_last_step() -> None:
    """A higher attempt waits no longer."""
    assert 0.8 * LADDER[-1] <= spaced(LADDER, 99) <= 1.2 * LADDER[-1]
