"""Valkey, as svc_feed uses it: hot feeds, and what a page reads at its start.

A hot feed is a head of 16 bytes, its floor and its tag, and packed entries in order of
arrival. The tag names the life of Valkey (its run id) and the generation that it was
built in: one of another life, as a restored snapshot holds, or of a generation that is
not believed any more counts as missing. While it is built, the tag is the number of
the build, with the highest bit set.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import struct
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import resources

from chassis import packed
from chassis.errors import MeshError
from chassis.freshness import (
    ChangeLog,
    ChangeLogReader,
    RecentList,
    VersionedBytes,
    VersionMarks,
)
from chassis.valkey import Script, Valkey

from . import frames
from .model import (
    Changes,
    Entry,
    Glance,
    Hot,
    Post,
    PostId,
    Stats,
    UserId,
)

GENERATION_KEY = "hot:generation"

HEAD_BYTES = 16
_FLOOR = struct.Struct(">q")
_BUILDING = 0x80

# A build that takes longer than this was given up.
BUILD_SECONDS = 10
# Feeds in one script call: about a millisecond of Valkey's time.
KEYS_A_CALL = 1_000
CALLS_IN_FLIGHT = 4

_LUA = resources.files(__package__)
APPEND = Script((_LUA / "append_hot.lua").read_text())
BEGIN = Script((_LUA / "begin_hot.lua").read_text())
FINISH = Script((_LUA / "finish_hot.lua").read_text())
BELIEVE = Script((_LUA / "believe_hot.lua").read_text())

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


def hot_key(viewer: UserId) -> str:
    """Where a reader's hot feed is; all keys of one reader share a slot."""
    return f"hot:{{{viewer}}}"


class HotTag:
    """The tag of hot feeds that may be believed now, as last heard from Valkey."""

    def __init__(self, *, valkey: Valkey) -> None:
        self._valkey = valkey
        self._heard: tuple[str, bytes | None] | None = None
        self._tag = b""

    def hear(self, generation: bytes | None) -> bytes:
        """The tag for the generation just read."""
        heard = (self._valkey.epoch(), generation)
        if heard != self._heard:
            name = f"{heard[0]} {(generation or b'0').decode()}"
            digest = hashlib.sha256(name.encode()).digest()
            self._tag = bytes((digest[0] & ~_BUILDING,)) + digest[1:8]
            self._heard = heard
        return self._tag

    async def believe(self, generation: int) -> None:
        await self._valkey.call(BELIEVE, [GENERATION_KEY], [generation])

    async def now(self) -> bytes:
        """The tag, asking if nothing was heard yet."""
        if self._heard is None:
            self.hear(await self._valkey.get(GENERATION_KEY))
        return self._tag


class ValkeyHotFeeds:
    """HotFeeds in Valkey."""

    def __init__(
        self,
        *,
        valkey: Valkey,
        bulk: Valkey,
        tag: HotTag,
        window: int,
        ttl: timedelta,
    ) -> None:
        """`window`: entries kept; feeds are trimmed when they are twice as long.

        `bulk` is a client of its own for fan-out: a thousand keys take longer than
        the few of a page, and nobody waits for them.
        """
        self._valkey = valkey
        self._bulk = bulk
        self._places = asyncio.Semaphore(CALLS_IN_FLIGHT)
        self._tag = tag
        self._window = window
        self._ttl = ttl

    async def append(self, viewers: Sequence[UserId], entry: Entry) -> None:
        calls = [
            keys[start : start + KEYS_A_CALL]
            for keys in self._bulk.slots([hot_key(viewer) for viewer in viewers])
            for start in range(0, len(keys), KEYS_A_CALL)
        ]
        kept = self._window * packed.ENTRY_BYTES
        args = (packed.pack([entry]), HEAD_BYTES + 2 * kept, kept)

        async def call(keys: list[str]) -> None:
            # All of a process share the places: more would only queue in Valkey,
            # in front of the reads of everybody.
            async with self._places:
                await self._bulk.call(APPEND, keys, args)

        await asyncio.gather(*map(call, calls))

    async def begin(self, viewer: UserId) -> str | None:
        build = secrets.token_bytes(8)
        build = bytes((build[0] | _BUILDING,)) + build[1:]
        head = _FLOOR.pack(0) + build
        is_ours = await self._valkey.call(
            BEGIN, [hot_key(viewer)], [head, BUILD_SECONDS, await self._tag.now()]
        )
        return build.hex() if is_ours else None

    async def finish(self, viewer: UserId, build: str, hot: Sequence[Entry]) -> None:
        is_whole = len(hot) < self._window
        floor = 0 if is_whole else hot[-1].post_id - 1
        await self._valkey.call(
            FINISH,
            [hot_key(viewer)],
            [
                bytes.fromhex(build),
                _FLOOR.pack(floor) + await self._tag.now(),
                packed.pack(reversed(hot)),
                int(self._ttl.total_seconds()),
            ],
        )

    async def forget(self, viewers: Sequence[UserId]) -> None:
        await self._valkey.delete(*map(hot_key, viewers))


def unpacked(raw: bytes | None, tag: bytes) -> Hot | None:
    """A hot feed, if it is built and its tag is the one to be believed."""
    if raw is None or raw[8:HEAD_BYTES] != tag:
        return None
    (floor,) = _FLOOR.unpack_from(raw)
    entries = packed.unpack(raw[HEAD_BYTES:])
    if floor:
        entries = [entry for entry in entries if entry[0] > floor]
    return Hot([Entry(PostId(a), UserId(b)) for a, b in entries], PostId(floor))


class ValkeyGlances:
    """Glances: hot feed, version mark, head of the change log, own posts and actions
    of one reader, in one round trip that concurrent pages share."""

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

    async def take(self, viewer: UserId) -> Glance:
        keys = [
            hot_key(viewer),
            self._marks.key(viewer),
            self._own.key(viewer),
            f"did:{{{viewer}}}",
            GENERATION_KEY,
            self._log.head_key,
        ]
        try:
            hot, mark, own, did, generation, head = await self._valkey.read(keys)
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
            own=None if own is None else self._own_entries(viewer, own),
            did=self._did(did),
            changes=_changes(changes.entries, is_reset=changes.reset),
        )

    def _own_entries(self, viewer: UserId, raw: bytes) -> list[Entry]:
        return [Entry(PostId(one), viewer) for one in self._own.unpack(raw)]

    def _did(self, raw: bytes | None) -> Mapping[PostId, int] | None:
        body = self._copies.parse(raw)
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
            post_id: Stats(*frames.stats_counts(body), frames.nested(3, body))
            for post_id, body in (await self._read("s", ids)).items()
        }

    async def _read(self, prefix: str, ids: Sequence[PostId]) -> dict[PostId, bytes]:
        values = await self._valkey.read([f"{prefix}:{post_id}" for post_id in ids])
        bodies = zip(ids, map(self._copies.parse, values), strict=True)
        return {post_id: body for post_id, body in bodies if body is not None}


def _changes(entries: Sequence[str], *, is_reset: bool) -> Changes:
    posts, users = [], []
    for entry in entries:
        kind, _, number = entry.partition(":")
        if kind == "p":
            posts.append(PostId(int(number)))
        elif kind == "u":
            users.append(UserId(int(number)))
    return Changes(posts, users, is_reset)
