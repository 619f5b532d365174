"""Fan-out and follow changes over the world of a test, and twins of what they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from svc_feed.audit import FeedAudit
from svc_feed.fan_out import FeedFanOut
from svc_feed.follow_changes import FollowChanges
from svc_feed.model import Audited, Entry, Placed, PostId, ReachMove, UserId
from svc_feed.reach_migration import ReachMigration
from tests.support.home_feeds import World

SETTLE = timedelta(seconds=60)


@dataclass
class MemoryContinuations:
    """Continuations that a test hands on itself."""

    left: list[tuple[Entry, UserId]] = field(default_factory=list)

    async def fan_out(self, entry: Entry, *, after: UserId) -> None:
        self.left.append((entry, after))


@dataclass
class MemoryReachMoves:
    """ReachMoves in memory; what would come back as an event is in `left`."""

    moves: dict[UserId, ReachMove] = field(default_factory=dict)
    left: list[tuple[UserId, int, UserId]] = field(default_factory=list)

    async def note(
        self, author: UserId, version: int, *, placed_since: datetime | None
    ) -> ReachMove:
        known = self.moves.get(author)
        if known is None or known.version < version:
            self.moves[author] = ReachMove(version, placed_since, UserId(0), False)
        return self.moves[author]

    async def last(self, author: UserId) -> ReachMove | None:
        return self.moves.get(author)

    async def advance(self, author: UserId, version: int, *, after: UserId) -> None:
        move = self.moves[author]
        if move.version == version and move.after < after:
            self.moves[author] = move._replace(after=after)
            self.left.append((author, version, after))

    async def finish(self, author: UserId, version: int) -> None:
        if self.moves[author].version == version:
            self.moves[author] = self.moves[author]._replace(is_done=True)


@dataclass
class Watched:
    """FanOutWatch and AuditWatch that remember."""

    parts: list[Placed] = field(default_factory=list)
    audits: list[Audited] = field(default_factory=list)
    repairs: list[int] = field(default_factory=list)

    def placed(self, post: PostId, placed: Placed) -> None:
        self.parts.append(placed)

    def audited(self, audited: Audited) -> None:
        self.audits.append(audited)

    def repaired(self, missing: int) -> None:
        self.repairs.append(missing)


def fan_out(
    world: World,
    *,
    continuations: MemoryContinuations | None = None,
    watch: Watched | None = None,
    part: int = 1_000,
) -> FeedFanOut:
    return FeedFanOut(
        index=world.index,
        hot_feeds=world.hot_feeds,
        graph=world,
        continuations=continuations or MemoryContinuations(),
        watch=watch or Watched(),
        in_flight=2,
        part=part,
    )


def follows(world: World, *, pull_all_above: int = 2_000) -> FollowChanges:
    return FollowChanges(
        index=world.index,
        hot_feeds=world.hot_feeds,
        graph=world,
        records=world,
        readers=world.readers,
        notes=world.notes,
        clock=world.clock,
        pull_all_above=pull_all_above,
    )


def migration(world: World, moves: MemoryReachMoves) -> ReachMigration:
    return ReachMigration(
        index=world.index,
        hot_feeds=world.hot_feeds,
        graph=world,
        records=world,
        moves=moves,
        clock=world.clock,
        index_age=timedelta(days=90),
        in_flight=2,
    )


def audit(world: World) -> FeedAudit:
    return FeedAudit(
        index=world.index,
        hot_feeds=world.hot_feeds,
        readers=world.readers,
        pull=world.pull,
        graph=world,
        records=world,
        follows=follows(world),
        clock=world.clock,
        settle=SETTLE,
    )


def entry_of(world: World, post_id: PostId) -> Entry:
    return Entry(post_id, UserId(world.posts[post_id].author_id))


async def feed_of(world: World, viewer: UserId) -> list[PostId]:
    return [one.post_id for one in await world.index.newest(viewer, limit=10_000)]
