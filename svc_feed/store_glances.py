"""What a page reads in Valkey at its start, and what it leaves there.

One round trip at the start, which concurrent pages share. What is left is written
beside the page: the next one is not wrong without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from chassis import packed
from chassis.errors import MeshError
from chassis.freshness import (
    ChangeLog,
    ChangeLogReader,
    RecentList,
    VersionedBytes,
    VersionMarks,
)
from chassis.valkey import Valkey

from . import frames
from .hot import GENERATION_KEY, HotTag, hot_key, unpacked
from .model import (
    Changes,
    Entry,
    Glance,
    Order,
    Post,
    PostId,
    Stats,
    UserId,
)

# How long a reader's top is known who does not come back.
TOP_KEPT = timedelta(days=30)

# Notes that wait to be written, and that are written at once.
MOST_WAITING = 10_000
AT_ONCE = 256

# An entry that names nothing.
NO_CHANGE = "-"

UNREACHABLE = Glance(
    hot=None,
    mark=None,
    own=None,
    did=None,
    changes=Changes(is_reset=True),
    is_reachable=False,
)


def top_key(viewer: UserId) -> str:
    """Where a reader's top is; all keys of one reader share a slot."""
    return f"top:{{{viewer}}}"


def last_key(viewer: UserId, order: Order) -> str:
    """Where a reader's last page in this order is."""
    return f"last:{{{viewer}}}:{order.value}"


class ValkeyGlances:
    """Glances: hot feed, version mark, head of the change log, top, own posts and
    actions of one reader."""

    def __init__(
        self,
        *,
        valkey: Valkey,
        tag: HotTag,
        marks: VersionMarks,
        log: ChangeLog,
        reader: ChangeLogReader,
        own: RecentList,
        copies: VersionedBytes,
    ) -> None:
        self._valkey = valkey
        self._tag = tag
        self._marks = marks
        self._log = log
        self._reader = reader
        self._own = own
        self._copies = copies

    async def take(self, viewer: UserId, *, refreshing: Order | None = None) -> Glance:
        keys = [
            hot_key(viewer),
            self._marks.key(viewer),
            self._own.key(viewer),
            f"did:{{{viewer}}}",
            top_key(viewer),
            GENERATION_KEY,
            self._log.head_key,
        ]
        if refreshing is not None:
            keys.append(last_key(viewer, refreshing))
        try:
            found = await self._valkey.read(keys)
            hot, mark, own, did, top, generation, head = found[:7]
            if head is None:
                # Nothing ever changed, or the log is lost: it starts anew, so that
                # pages from now on can tell.
                await self._log.append([NO_CHANGE])
            changes = await self._reader.apply(head, self._valkey.epoch())
        except MeshError:
            return UNREACHABLE
        return Glance(
            hot=unpacked(hot, self._tag.hear(generation)),
            mark=self._marks.parse(mark),
            own=self._own_entries(viewer, own),
            did=self._did(did),
            changes=_changes(changes.entries, is_reset=changes.reset),
            top=None if top is None else PostId(int(top)),
            last=found[7] if refreshing is not None else None,
        )

    def _own_entries(self, viewer: UserId, raw: bytes | None) -> list[Entry] | None:
        ids = self._own.current(raw)
        if ids is None:
            return None
        return [Entry(PostId(one), viewer) for one in ids]

    def _did(self, raw: bytes | None) -> Mapping[PostId, int] | None:
        body = self._copies.current(raw)
        if body is None:
            return None
        return {PostId(post_id): flags for post_id, flags in packed.unpack(body)}


class ValkeyPostCopies:
    """PostCopies: what svc_ingest keeps in Valkey."""

    def __init__(self, *, valkey: Valkey, copies: VersionedBytes) -> None:
        self._valkey = valkey
        self._copies = copies

    async def posts(self, ids: Sequence[PostId]) -> Mapping[PostId, Post]:
        found: dict[PostId, Post] = {}
        bodies = await self._read("p", ids)
        for post_id, body in bodies.items():
            facts = frames.post_facts(body)
            found[post_id] = Post(facts, body, frames.nested(1, body))
        return found

    async def stats(self, ids: Sequence[PostId]) -> Mapping[PostId, Stats]:
        return {
            post_id: Stats(*frames.stats_counts(body), body)
            for post_id, body in (await self._read("s", ids)).items()
        }

    async def _read(self, prefix: str, ids: Sequence[PostId]) -> dict[PostId, bytes]:
        values = await self._valkey.read([f"{prefix}:{post_id}" for post_id in ids])
        bodies = zip(ids, map(self._copies.current, values), strict=True)
        return {post_id: body for post_id, body in bodies if body is not None}


class ValkeyNotes:
    """Notes in Valkey, written in batches by a loop of this process."""

    def __init__(self, *, valkey: Valkey, last_kept: timedelta) -> None:
        """`last_kept`: how long a refresh is answered with the last page."""
        self._valkey = valkey
        self._last_kept = last_kept
        self._waiting: dict[str, tuple[bytes | int, timedelta]] = {}
        self._is_waiting = asyncio.Event()

    def note_top(self, viewer: UserId, top: PostId) -> None:
        self._add(top_key(viewer), top, TOP_KEPT)

    def note_last(self, viewer: UserId, order: Order, page: bytes) -> None:
        self._add(last_key(viewer, order), page, self._last_kept)

    async def forget(self, viewer: UserId) -> None:
        keys = [top_key(viewer), *(last_key(viewer, order) for order in Order)]
        for key in keys:
            self._waiting.pop(key, None)
        await self._valkey.delete(*keys)

    async def run(self) -> None:
        """Background work of processes that serve. Ends only when cancelled."""
        while True:
            await self._is_waiting.wait()
            await self.write()

    async def write(self) -> None:
        """Writes what waits; what cannot be written is given up."""
        while self._waiting:
            keys = list(self._waiting)[:AT_ONCE]
            batch = [(key, *self._waiting.pop(key)) for key in keys]
            await asyncio.gather(*(self._set(*one) for one in batch))
        self._is_waiting.clear()

    def _add(self, key: str, value: bytes | int, kept: timedelta) -> None:
        if key in self._waiting or len(self._waiting) < MOST_WAITING:
            self._waiting[key] = (value, kept)
            self._is_waiting.set()

    async def _set(self, key: str, value: bytes | int, kept: timedelta) -> None:
        with suppress(MeshError):
            await self._valkey.set(key, value, ttl=kept)


def _changes(entries: Sequence[str], *, is_reset: bool) -> Changes:
    posts, users, celebrities = [], [], []
    for entry in entries:
        kind, _, number = entry.partition(":")
        if kind == "p":
            posts.append(PostId(int(number)))
        elif kind == "u":
            users.append(UserId(int(number)))
        elif kind == "c":
            celebrities.append(UserId(int(number)))
    return Changes(posts, users, celebrities, is_reset)
