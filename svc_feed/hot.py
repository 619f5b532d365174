"""Hot feeds in Valkey.

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
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import resources
from operator import neg
from typing import cast, overload

from chassis import packed
from chassis.valkey import Script, Valkey

from .model import Entry, Hot, PostId, UserId

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


def hot_key(viewer: UserId) -> str:
    """Where a reader's hot feed is; all keys of one reader share a slot."""
    return f"hot:{{{viewer}}}"


class HotTag:
    """The tag of hot feeds that may be believed now, as last heard from Valkey."""

    def __init__(self, *, valkey: Valkey, bulk: Valkey) -> None:
        """`bulk` is back sooner than `valkey` after an outage: what is not to be
        believed any more is told before it is read."""
        self._valkey = valkey
        self._bulk = bulk
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
        await self._bulk.call(BELIEVE, [GENERATION_KEY], [generation])

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

    async def finish(
        self,
        viewer: UserId,
        build: str,
        hot: Hot,
        *,
        lasting: timedelta | None = None,
    ) -> None:
        await self._valkey.call(
            FINISH,
            [hot_key(viewer)],
            [
                bytes.fromhex(build),
                _FLOOR.pack(hot.floor) + await self._tag.now(),
                packed.pack(reversed(hot.entries)),
                int((lasting or self._ttl).total_seconds()),
            ],
        )

    async def forget(self, viewers: Sequence[UserId]) -> None:
        await self._valkey.delete(*map(hot_key, viewers))

    async def look(self, viewer: UserId) -> Hot | None:
        raw, generation = await self._valkey.read([hot_key(viewer), GENERATION_KEY])
        return unpacked(raw, self._tag.hear(generation))


class PackedEntries(Sequence[Entry]):
    """Entries, newest first, of which a page wants one in ten: made when asked for."""

    __slots__ = ("_authors", "_ids")

    def __init__(self, authors: Mapping[PostId, UserId], floor: PostId) -> None:
        """`authors` by post; posts at and below the floor are left out."""
        ids = sorted(authors, reverse=True)
        self._ids = ids[: bisect_left(ids, -floor, key=neg)] if floor else ids
        self._authors = authors

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        if isinstance(at, slice):
            authors = self._authors
            return [Entry(post_id, authors[post_id]) for post_id in self._ids[at]]
        post_id = self._ids[at]
        return Entry(post_id, self._authors[post_id])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


def unpacked(raw: bytes | None, tag: bytes) -> Hot | None:
    """A hot feed, if it is built and its tag is the one to be believed."""
    if raw is None or raw[8:HEAD_BYTES] != tag:
        return None
    floor = PostId(_FLOOR.unpack_from(raw)[0])
    authors = cast("Mapping[PostId, UserId]", packed.table(raw[HEAD_BYTES:]))
    return Hot(PackedEntries(authors, floor), floor)
