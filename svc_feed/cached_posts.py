"""Near copies of posts: in this process, then in Valkey, then at svc_ingest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from chassis import ids as time_ordered
from chassis.cache import SingleFlight
from chassis.errors import MeshError

from .cached import NEVER, Freshness, Shelf
from .model import Entry, Post, PostId, Record, Stats, UserId
from .ports import PostCopies, PostRecords

POST_SECONDS = 30.0
STATS_SECONDS = 2.0
# Counts of posts of which Valkey keeps none: they begin to be kept when they change.
RECORD_STATS_SECONDS = 60.0
# What a reader of whom nothing is kept did and wrote: kept as soon as they do.
DID_SECONDS = 60.0
OWN_SECONDS = 300.0
# A list of own posts that began later may follow one that was lost: what was posted
# before it has long been fanned out when it is older.
YOUNG_LIST_MS = 60_000
# Celebrities' recent posts: loaded once in this time however many readers ask.
RECENT_SECONDS = 30.0
# Then they serve on while one load replaces them, but no longer than that.
RELOAD_SECONDS = 0.5
# While svc_ingest does not answer they are late, but not wrong; and it is asked again
# only after a pause, for which nobody waits.
STALE_RECENT_SECONDS = 600.0
RECENT_PAUSE = 2.0
# Posts that svc_ingest tells of one author at once, at most.
MOST_RECENT = 50

NOBODY = UserId(0)
NEVER_LOADED = float("inf")


class Sizes(NamedTuple):
    """How many items are kept near."""

    posts: int
    readers: int
    celebrities: int


class _Near(NamedTuple):
    """A post as it was when its loading began; None when there was none."""

    loaded_at: float
    post: Post | None


class CachedPosts:
    """Posts over PostCopies and PostRecords."""

    def __init__(
        self,
        *,
        copies: PostCopies,
        records: PostRecords,
        freshness: Freshness,
        sizes: Sizes,
    ) -> None:
        self._copies = copies
        self._records = records
        self._freshness = freshness
        self._near: Shelf[PostId, _Near] = Shelf(max_items=sizes.posts)
        self._stats: Shelf[PostId, tuple[float, Stats]] = Shelf(max_items=sizes.posts)
        self._record_stats: Shelf[PostId, tuple[float, Stats]] = Shelf(
            max_items=sizes.posts
        )
        self._did: Shelf[UserId, tuple[float, dict[PostId, int]]] = Shelf(
            max_items=sizes.readers
        )
        self._own: Shelf[UserId, tuple[float, Sequence[Entry]]] = Shelf(
            max_items=sizes.readers
        )
        self._recents: Shelf[UserId, tuple[float, Sequence[Entry]]] = Shelf(
            max_items=sizes.celebrities
        )
        self._recents_failed_at = NEVER
        self._post_loads: SingleFlight[PostId, Post] = SingleFlight()
        self._recent_loads: SingleFlight[UserId, Sequence[Entry]] = SingleFlight()

    async def posts(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        found: dict[PostId, Post] = {}
        missing: list[PostId] = []
        since = self._freshness.since(POST_SECONDS)
        knows = self._freshness.knows_post
        for post_id in ids:
            near = self._near.get(post_id)
            if near is None or near[0] <= since or not knows(post_id, near[0]):
                missing.append(post_id)
            elif near.post is not None:
                found[post_id] = near.post
        if missing:
            started = self._freshness.now()
            loaded = await self._loaded(missing)
            for post_id in missing:
                post = loaded.get(post_id)
                self._near.put(post_id, _Near(started, post))
                if post is not None:
                    found[post_id] = post
        return found

    async def stats(self, ids: Sequence[PostId]) -> Mapping[PostId, Stats]:
        found = self._kept(self._stats, ids, STATS_SECONDS)
        missing = [post_id for post_id in ids if post_id not in found]
        if not missing:
            return found
        started = self._freshness.now()
        with suppress(MeshError):
            for post_id, stats in (await self._copies.stats(missing)).items():
                self._stats.put(post_id, (started, stats))
                found[post_id] = stats
        missing = [post_id for post_id in missing if post_id not in found]
        found.update(self._kept(self._record_stats, missing, RECORD_STATS_SECONDS))
        missing = [post_id for post_id in missing if post_id not in found]
        if missing:
            with suppress(MeshError):
                records = await self._records.records(missing, viewer=NOBODY)
                self._keep_stats(started, records)
                found.update((key, record.stats) for key, record in records.items())
        return found

    async def did(self, viewer: UserId, ids: Sequence[PostId]) -> Mapping[PostId, int]:
        near = self._did.get(viewer)
        if near is None or not self._freshness.is_good(near[0], DID_SECONDS):
            near = (self._freshness.now(), {})
            self._did.put(viewer, near)
        kept = near[1]
        missing = [post_id for post_id in ids if post_id not in kept]
        if missing:
            with suppress(MeshError):
                records = await self._records.records(missing, viewer=viewer)
                kept.update((key, record.did) for key, record in records.items())
        return {post_id: kept[post_id] for post_id in ids if post_id in kept}

    async def own(
        self, viewer: UserId, listed: Sequence[Entry] | None
    ) -> Sequence[Entry]:
        near = self._own.get(viewer)
        if near is not None and self._freshness.is_good(near[0], OWN_SECONDS):
            known = near[1]
        elif listed is not None and not self._is_young(listed):
            return listed
        else:
            started = self._freshness.now()
            try:
                recents = await self._records.recents([viewer], limit=MOST_RECENT)
            except MeshError:
                if listed is None:
                    raise
                return listed
            known = recents[viewer]
            self._own.put(viewer, (started, known))
        return sorted({*known, *listed}, reverse=True) if listed else known

    def _is_young(self, listed: Sequence[Entry]) -> bool:
        if not listed:
            return False
        began = time_ordered.ms_of(listed[-1].post_id)
        return began > self._freshness.wall_ms() - YOUNG_LIST_MS

    async def recents(
        self, authors: Sequence[UserId], *, before: PostId, limit: int
    ) -> Mapping[UserId, Sequence[Entry]]:
        found: dict[UserId, Sequence[Entry]] = {}
        deeper: list[UserId] = []
        for author, entries in (await self._newest(authors)).items():
            older = [one for one in entries if one.post_id < before][:limit]
            if len(older) < limit and len(entries) == MOST_RECENT:
                deeper.append(author)
            else:
                found[author] = older
        if deeper:
            found.update(
                await self._records.recents(deeper, before=before, limit=limit)
            )
        return found

    async def _newest(
        self, authors: Iterable[UserId]
    ) -> Mapping[UserId, Sequence[Entry]]:
        """The newest posts of each author, at most RECENT_SECONDS old when the load
        that replaces them begins."""
        now = self._freshness.now()
        found: dict[UserId, Sequence[Entry]] = {}
        due: list[UserId] = []
        missing: list[UserId] = []
        is_failing = self._recents_failed_at > NEVER
        is_paused = now - self._recents_failed_at < RECENT_PAUSE
        for author in authors:
            near = self._recents.get(author)
            age = NEVER_LOADED if near is None else now - near[0]
            if near is None or age > STALE_RECENT_SECONDS:
                missing.append(author)
                continue
            found[author] = near[1]
            if age >= RECENT_SECONDS and not is_paused:
                due.append(author)
                if age >= RECENT_SECONDS + RELOAD_SECONDS and not is_failing:
                    missing.append(author)
        if due:
            self._recent_loads.begin(due, self._load_recents)
        if missing:
            try:
                found.update(
                    await self._recent_loads.load_many(missing, self._load_recents)
                )
            except MeshError:
                if not all(author in found for author in missing):
                    raise
        return found

    async def _load_recents(
        self, authors: Sequence[UserId]
    ) -> dict[UserId, Sequence[Entry]]:
        started = self._freshness.now()
        try:
            loaded = await self._records.recents(authors, limit=MOST_RECENT)
        except MeshError:
            self._recents_failed_at = self._freshness.now()
            raise
        self._recents_failed_at = NEVER
        for author, entries in loaded.items():
            self._recents.put(author, (started, entries))
        return dict(loaded)

    async def _loaded(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        """What of the posts exists; pages that want the same share the loading.

        But none joins a load that may have begun before a change it must see.
        """
        started = self._freshness.now()
        if not self._freshness.is_good(started, POST_SECONDS):
            return await self._load(ids)
        alone = [one for one in ids if not self._freshness.knows_post(one, started)]
        shared = [one for one in ids if one not in alone] if alone else ids
        found = await self._post_loads.load_many(shared, self._load)
        return {**found, **(await self._load(alone))} if alone else found

    async def _load(self, ids: Sequence[PostId]) -> dict[PostId, Post]:
        """What of the posts exists. Raises Unavailable when one cannot be told."""
        found: dict[PostId, Post] = {}
        with suppress(MeshError):
            found.update(await self._copies.posts(ids))
        missing = [post_id for post_id in ids if post_id not in found]
        if missing:
            started = self._freshness.now()
            records = await self._records.records(missing, viewer=NOBODY)
            self._keep_stats(started, records)
            found.update((key, record.post) for key, record in records.items())
        return found

    def _keep_stats(self, started: float, records: Mapping[PostId, Record]) -> None:
        for post_id, record in records.items():
            self._record_stats.put(post_id, (started, record.stats))

    def _kept(
        self,
        near: Shelf[PostId, tuple[float, Stats]],
        ids: Iterable[PostId],
        seconds: float,
    ) -> dict[PostId, Stats]:
        # Counts trail anyway: no change mark makes them older than they are.
        since = self._freshness.now() - seconds
        found = {}
        for post_id in ids:
            kept = near.get(post_id)
            if kept is not None and kept[0] > since:
                found[post_id] = kept[1]
        return found
