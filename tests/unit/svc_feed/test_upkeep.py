"""What operators do to feeds leaves a row in the audit trail."""

from __future__ import annotations

from dataclasses import dataclass, field

from chassis.errors import NotFound, Unavailable
from chassis.testing import refuses

from svc_feed.upkeep import NOBODY, FeedUpkeep
from tests.support.feed_writing import SETTLE, audit, feed_of
from tests.support.home_feeds import ANN, BEN, DAN, DELETED, World

WHO = "service:meshctl"


@dataclass
class Rows:
    """Trail in memory."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    async def record(self, *, who: str, what: str, target: str, outcome: str) -> None:
        self.rows.append((who, what, target, outcome))


def upkeep(world: World, trail: Rows) -> FeedUpkeep:
    return FeedUpkeep(
        graph=world, audit=audit(world), rebuild=world.rebuild, trail=trail
    )


async def test_looking_leaves_no_trace_and_changes_nothing() -> None:
    """Nor does a repair of what is sound."""
    world, trail = World(), Rows()
    world.follow(ANN, BEN)
    lost = await world.post(BEN, is_fanned_out=False)

    await upkeep(world, trail).audit(ANN, repair=True, who=WHO)
    world.clock.advance(2 * SETTLE.total_seconds())
    found = await upkeep(world, trail).audit(ANN, repair=False, who=WHO)

    assert [entry.post_id for entry in found.missing] == [lost]
    assert await feed_of(world, ANN) == []
    assert trail.rows == []


async def test_a_repair_and_a_rebuild_are_told() -> None:
    """Who, what, and whose feed."""
    world, trail = World(), Rows()
    world.follow(ANN, BEN)
    lost = await world.post(BEN, is_fanned_out=False)
    world.clock.advance(2 * SETTLE.total_seconds())

    await upkeep(world, trail).audit(ANN, repair=True, who=WHO)
    rebuilt = await upkeep(world, trail).rebuild(ANN, who=WHO)

    assert rebuilt.is_complete
    assert await feed_of(world, ANN) == [lost]
    assert trail.rows == [
        (WHO, "feed.repair", str(ANN), "OK"),
        (WHO, "feed.rebuild", str(ANN), "OK"),
    ]


async def test_what_fails_is_told_too() -> None:
    """With the reason, in one row."""
    world, trail = World(), Rows()
    world.index.is_down = True
    world.follow(ANN, BEN)
    await world.post(BEN, is_fanned_out=False)

    with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
        await upkeep(world, trail).rebuild(ANN, who=WHO)

    assert trail.rows == [(WHO, "feed.rebuild", str(ANN), "DEPENDENCY_UNAVAILABLE")]


async def test_a_feed_of_nobody_is_not_found() -> None:
    """An id that is nobody's has no feed to look into."""
    world, trail = World(), Rows()
    world.relate(NOBODY, DAN, DELETED)

    with refuses(NotFound, "USER_NOT_FOUND"):
        await upkeep(world, trail).audit(DAN, repair=False, who=WHO)
    with refuses(NotFound, "USER_NOT_FOUND"):
        await upkeep(world, trail).rebuild(DAN, who=WHO)

    assert trail.rows == []
