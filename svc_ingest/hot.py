"""Copies in Valkey: bytes and counts of posts, authors' own, what people did."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from chassis import packed
from chassis.errors import MeshError
from chassis.freshness import ChangeLog, RecentList, VersionedBytes
from chassis.retries import Retries
from chassis.valkey import Valkey

from .model import Did, PostId, Record, Stats, StoredPost, UserId

log = structlog.get_logger(__name__)

# Flags beside a post id in the packed list of what a person did.
LIKED, SHARED = 1, 2


class ValkeyHotPosts:
    """HotPosts in Valkey. Without Valkey it does nothing, and says so in the log."""

    def __init__(
        self,
        *,
        valkey: Valkey,
        copies: VersionedBytes,
        own: RecentList,
        changes: ChangeLog,
        encode_stats: Callable[[Stats], bytes],
        ttl: timedelta,
    ) -> None:
        self._valkey = valkey
        self._copies = copies
        self._own = own
        self._changes = changes
        self._encode_stats = encode_stats
        self._ttl = ttl
        self._retries = Retries(valkey)

    async def created(self, posts: Sequence[StoredPost]) -> None:
        await _best_effort(
            "created",
            *(self._own.append(post.author_id, post.post_id) for post in posts),
            self._put(*posts),
        )

    async def changing(self, posts: Mapping[PostId, int]) -> None:
        if posts:
            await _best_effort(
                "changing",
                *(
                    self._retries.attempt(
                        post_key(post_id),
                        partial(
                            self._copies.block, post_key(post_id), version, self._ttl
                        ),
                    )
                    for post_id, version in posts.items()
                ),
                self._changes.append([f"p:{post_id}" for post_id in posts]),
            )

    async def changed(self, post: StoredPost) -> None:
        # Once more in the log: a near cache may have filled itself since.
        await _best_effort("changed", self.settle_change(post))

    async def deleted(self, posts: Mapping[PostId, int]) -> None:
        await _best_effort(
            "deleted",
            *(
                self._retries.attempt(
                    post_key(post_id),
                    partial(
                        self._copies.tombstone, post_key(post_id), version, self._ttl
                    ),
                )
                for post_id, version in posts.items()
            ),
            self._changes.append([f"p:{post_id}" for post_id in posts]),
        )

    async def settle_change(self, post: StoredPost) -> None:
        await self._changes.append([f"p:{post.post_id}"])
        await self._put(post)

    async def settle_delete(self, post_id: PostId, version: int) -> None:
        await self._changes.append([f"p:{post_id}"])
        await self._copies.tombstone(post_key(post_id), version, self._ttl)

    async def fill(self, records: Sequence[Record]) -> None:
        await _best_effort(
            "fill",
            self._put(*(record.post for record in records)),
            self._put_stats({record.post.post_id: record.stats for record in records}),
        )

    async def counted(self, stats: Mapping[PostId, Stats]) -> None:
        await _best_effort(
            "counted",
            self._put_stats(stats),
        )

    async def acting(self, user: UserId, version: int) -> None:
        await _best_effort(
            "acting", self._copies.block(did_key(user), version, self._ttl)
        )

    async def acted(self, user: UserId, did: Did) -> None:
        value = packed.pack(
            (post_id, LIKED * actions.liked + SHARED * actions.shared)
            for post_id, actions in did.actions.items()
        )
        await _best_effort(
            "acted", self._copies.put(did_key(user), did.version, value, self._ttl)
        )

    async def knows_actions(self, user: UserId) -> bool:
        try:
            raw = await self._valkey.get(did_key(user))
        except MeshError:
            # Nothing could be placed there now.
            return True
        return self._copies.current(raw) is not None

    async def _put(self, *posts: StoredPost) -> None:
        await self._copies.put_all(
            {post_key(post.post_id): (post.version, post.body) for post in posts},
            self._ttl,
        )

    async def _put_stats(self, stats: Mapping[PostId, Stats]) -> None:
        await self._copies.put_all(
            {
                stats_key(post_id): (counts.version, self._encode_stats(counts))
                for post_id, counts in stats.items()
            },
            self._ttl,
        )


def post_key(post_id: PostId) -> str:
    """Where the bytes of a post are."""
    return f"p:{post_id}"


def stats_key(post_id: PostId) -> str:
    """Where the counts of a post are."""
    return f"s:{post_id}"


def did_key(user: UserId) -> str:
    """Where a person's likes and shares are."""
    return f"did:{{{user}}}"


async def _best_effort(what: str, *writes: Awaitable[object]) -> None:
    """Makes the writes side by side; those that fail are logged once together."""
    results = await asyncio.gather(*writes, return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    for error in failed:
        if not isinstance(error, MeshError):
            raise error
    if failed:
        log.warning(
            "copies_not_told", what=what, count=len(failed), error=str(failed[0])
        )
