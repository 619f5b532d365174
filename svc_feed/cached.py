"""Near copies in front of the ports: seconds old, and unusable once marked changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from chassis.clock import Clock

from domain.visibility import Relation

from .model import Changes, PostId, Profile, Relations, UserId
from .ports import Graph, People, ReaderGraph

# Nothing near is older than this, whatever the marks say.
USER_SECONDS = 30.0
RELATION_SECONDS = 30.0

# Changes are remembered for as long as the oldest near copy could live.
REMEMBERED_SECONDS = 300.0

# A mark is set before its change commits. Whatever is loaded so soon after a mark may
# have been read before the commit, and is used once, but not kept. Longer than any
# transaction may last.
HOLD = 5.0


K = TypeVar("K")
V = TypeVar("V")

NEVER = float("-inf")


class Freshness:
    """When which near copies became unusable. Shared by all near copies."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._all = NEVER
        self._posts: dict[PostId, float] = {}
        self._users: dict[UserId, float] = {}
        self._celebrities = NEVER

    def apply(self, changes: Changes) -> None:
        now = self._clock.monotonic()
        if changes.is_reset:
            self._all = now
            self._posts.clear()
            self._users.clear()
        for post_id in changes.posts:
            self._posts.pop(post_id, None)
            self._posts[post_id] = now
        for user_id in changes.users:
            self._users.pop(user_id, None)
            self._users[user_id] = now
        if changes.celebrities:
            self._celebrities = now
        _prune(self._posts, now)
        _prune(self._users, now)

    def wall_ms(self) -> int:
        """What time it is, in Unix milliseconds."""
        return int(self._clock.now().timestamp() * 1000)

    def now(self) -> float:
        """When a load that starts now was started."""
        return self._clock.monotonic()

    def since(self, seconds: float) -> float:
        """What was loaded later than this is usable, as far as age and resets go."""
        return max(self._all + HOLD, self.now() - seconds)

    def is_good(self, loaded_at: float, seconds: float) -> bool:
        """Whether what was loaded then is usable, as far as age and resets go."""
        return loaded_at > self.since(seconds)

    def knows_post(self, post_id: PostId, loaded_at: float) -> bool:
        """Whether the post is not known to have changed since."""
        return not self._posts or loaded_at > self._posts.get(post_id, NEVER) + HOLD

    def knows_user(self, user_id: UserId, loaded_at: float) -> bool:
        """Whether the person is not known to have changed since."""
        return not self._users or loaded_at > self._users.get(user_id, NEVER) + HOLD

    def knows_celebrities(self, loaded_at: float) -> bool:
        """Whether nobody is known to have begun or ceased to be a celebrity since.

        Told of all readers at once: it is not known whose followers they are.
        """
        return loaded_at > self._celebrities + HOLD


class Shelf(dict[K, V]):
    """A bounded dict for values that say themselves when they were loaded.

    Looked at some hundred times a page, which is too often for a cache that keeps
    time and order of use. What was put first goes first.
    """

    def __init__(self, *, max_items: int) -> None:
        super().__init__()
        self._max_items = max_items

    def put(self, key: K, value: V) -> None:
        self.pop(key, None)
        if len(self) >= self._max_items:
            del self[next(iter(self))]
        self[key] = value


def _prune(changed: dict[K, float], now: float) -> None:
    """Forgets changes that are older than any near copy could be."""
    while changed:
        oldest = next(iter(changed))
        if now - changed[oldest] <= REMEMBERED_SECONDS + HOLD:
            return
        del changed[oldest]


@dataclass(slots=True)
class _Kept:
    """What is near of one reader's relations, all of it as of one mark."""

    mark: int
    loaded_at: float
    relations: dict[UserId, tuple[float, Relation]] = field(default_factory=dict)
    celebrities: tuple[float, frozenset[UserId]] | None = None


class CachedGraphs:
    """ReaderGraphs over Graph, with relations of each reader at their version."""

    def __init__(self, *, graph: Graph, freshness: Freshness, max_readers: int) -> None:
        self._graph = graph
        self._freshness = freshness
        self._kept: Shelf[UserId, _Kept] = Shelf(max_items=max_readers)

    def reader(self, viewer: UserId, *, mark: int | None, at_least: int) -> ReaderGraph:
        kept = None
        if mark is not None and mark >= at_least:
            kept = self._kept.get(viewer)
            if (
                kept is None
                or kept.mark != mark
                or not self._freshness.is_good(kept.loaded_at, RELATION_SECONDS)
            ):
                kept = _Kept(mark, self._freshness.now())
                self._kept.put(viewer, kept)
        return _Reader(viewer, self._graph, self._freshness, kept)


class _Reader:
    def __init__(
        self,
        viewer: UserId,
        graph: Graph,
        freshness: Freshness,
        kept: _Kept | None,
    ) -> None:
        self._viewer = viewer
        self._graph = graph
        self._freshness = freshness
        # Read before anything is asked: what is asked is at least as new.
        self._kept = kept or _Kept(-1, freshness.now())

    async def relations(self, ids: Sequence[UserId]) -> Relations:
        known = self._kept.relations
        found: dict[UserId, Relation] = {}
        missing: list[UserId] = []
        for user_id in ids:
            near = known.get(user_id)
            if near is not None and self._freshness.knows_user(user_id, near[0]):
                found[user_id] = near[1]
            else:
                missing.append(user_id)
        if missing:
            started = self._freshness.now()
            asked = await self._graph.relations(self._viewer, missing)
            for user_id, relation in asked.items():
                known[user_id] = (started, relation)
            found.update(asked)
        return found

    async def celebrities(self) -> frozenset[UserId]:
        near = self._kept.celebrities
        if near is None or not self._freshness.knows_celebrities(near[0]):
            started = self._freshness.now()
            asked = await self._graph.followed_celebrities(self._viewer)
            near = self._kept.celebrities = (started, asked)
        return near[1]


class CachedPeople:
    """People, near for some seconds."""

    def __init__(self, *, people: People, freshness: Freshness, max_users: int) -> None:
        self._people = people
        self._freshness = freshness
        self._near: Shelf[UserId, tuple[float, Profile]] = Shelf(max_items=max_users)

    async def profiles(self, ids: Sequence[UserId]) -> Mapping[UserId, Profile]:
        found: dict[UserId, Profile] = {}
        missing: list[UserId] = []
        since = self._freshness.since(USER_SECONDS)
        for user_id in ids:
            near = self._near.get(user_id)
            if (
                near is not None
                and near[0] > since
                and self._freshness.knows_user(user_id, near[0])
            ):
                found[user_id] = near[1]
            else:
                missing.append(user_id)
        if missing:
            started = self._freshness.now()
            for user_id, profile in (await self._people.profiles(missing)).items():
                self._near.put(user_id, (started, profile))
                found[user_id] = profile
        return found
