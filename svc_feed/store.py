"""The feed_entry table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from chassis import deadline, ids
from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, Unavailable
from chassis.postgres import Pool
from chassis.shards import Shards

from .model import ABOVE_ALL, Entry, PostId, UserId
from .store_audience import Audience

# DO NOTHING keeps a redelivered event from moving an entry already placed. Sorted
# keys touch neighbouring pages of the index and lock rows in one order.
ADD = """
INSERT INTO feed_entry (viewer_id, post_id, author_id)
SELECT viewer_id, $2, $3 FROM unnest($1::bigint[]) AS viewer_id
ON CONFLICT (viewer_id, post_id) DO NOTHING
"""

ADD_ALL = """
INSERT INTO feed_entry (viewer_id, post_id, author_id)
SELECT viewer_id, post_id, $3
FROM unnest($1::bigint[]) AS viewer_id, unnest($2::bigint[]) AS post_id
ON CONFLICT (viewer_id, post_id) DO NOTHING
"""

FILL = """
INSERT INTO feed_entry (viewer_id, post_id, author_id)
SELECT $1, post_id, author_id
FROM unnest($2::bigint[], $3::bigint[]) AS entry (post_id, author_id)
ON CONFLICT (viewer_id, post_id) DO NOTHING
"""

# Post ids are ordered by time, so one column is both order and keyset.
NEWEST = """
SELECT post_id, author_id FROM feed_entry
WHERE viewer_id = $1 AND post_id < $2
ORDER BY post_id DESC
LIMIT $3
"""

REMOVE_AUTHOR = """
DELETE FROM feed_entry
WHERE viewer_id = $1 AND author_id = $2 AND post_id < $3
    AND post_id <> ALL($4::bigint[])
"""

REMOVE = """
DELETE FROM feed_entry WHERE viewer_id = $1 AND post_id = ANY($2::bigint[])
"""

REMOVE_POST = """
DELETE FROM feed_entry WHERE viewer_id = ANY($1::bigint[]) AND post_id = $2
"""

ERASE_VIEWER = "DELETE FROM feed_entry WHERE viewer_id = $1"
ERASE_READER = "DELETE FROM feed_reader WHERE viewer_id = $1"

# An index by author would slow every fan-out down for the sake of rare erasures. So
# these walk the primary key instead, in slices of viewers that end at this row.
SLICE_END = """
SELECT viewer_id FROM feed_entry WHERE viewer_id > $1
ORDER BY viewer_id OFFSET $2 LIMIT 1
"""

ERASE_AUTHOR = """
DELETE FROM feed_entry
WHERE viewer_id > $1 AND viewer_id <= $2 AND author_id = $3
"""

GENERATION = "SELECT generation FROM hot_generation"
ADVANCE = "UPDATE hot_generation SET generation = generation + 1"

# Below entries of that age a replica may be asked: what is placed now is newer, and
# what a replica lacks is seconds old. Hot feeds are built from the primary.
SETTLED = timedelta(minutes=5)

BATCH = 1_000
# Of many posts for many viewers at once: what one statement may place.
ROWS = 10_000
ERASE_SLICE = 20_000


class PostgresFeedIndex:
    """FeedIndex on Postgres. All rows of one viewer live on one shard."""

    def __init__(
        self, *, shards: Shards, audience: Audience, read_seconds: float, clock: Clock
    ) -> None:
        """`read_seconds`: what a page may wait for, less than its deadline."""
        self._shards = shards
        self._audience = audience
        self._clock = clock
        self._read_seconds = read_seconds

    async def add(self, viewers: Sequence[UserId], entry: Entry) -> int:
        rows = 0
        for pool, part in self._parts(viewers, BATCH):
            placed = await self._audience.of(pool, part, entry.author_id)
            tag = await pool.execute(ADD, placed, entry.post_id, entry.author_id)
            rows += int(tag.rsplit(" ", 1)[1])
        return rows

    async def add_all(
        self, viewers: Sequence[UserId], entries: Sequence[Entry]
    ) -> None:
        posts = sorted(entry.post_id for entry in entries)
        author = entries[0].author_id
        for pool, part in self._parts(viewers, max(1, ROWS // len(posts))):
            placed = await self._audience.of(pool, part, author)
            await pool.execute(ADD_ALL, placed, posts, author)

    async def fill(self, viewer: UserId, entries: Sequence[Entry]) -> None:
        ordered = sorted(entries)
        await self._shards.pool(viewer).execute(
            FILL,
            viewer,
            [entry.post_id for entry in ordered],
            [entry.author_id for entry in ordered],
        )

    async def newest(
        self, viewer: UserId, *, limit: int, before: PostId = ABOVE_ALL
    ) -> list[Entry]:
        pool = self._shards.pool(viewer)
        is_settled = before < ids.floor_of(self._clock.now() - SETTLED)
        asked = pool.replica if is_settled else pool
        try:
            async with deadline.limit(self._read_seconds):
                rows = await asked.fetch(NEWEST, viewer, before, limit)
                if len(rows) < limit and asked is not pool:
                    # A replica that says it is the end may lack what was just filled.
                    rows = await pool.fetch(NEWEST, viewer, before, limit)
        except DeadlineExceeded as error:
            # The page itself may have time left: it is the index that is out of reach.
            raise Unavailable(
                "DEPENDENCY_UNAVAILABLE",
                "the feed index does not answer",
                retry_after=1,
            ) from error
        return [Entry(PostId(row[0]), UserId(row[1])) for row in rows]

    async def remove_author(
        self,
        viewer: UserId,
        author: UserId,
        *,
        before: PostId = ABOVE_ALL,
        keeping: Sequence[PostId] = (),
    ) -> None:
        await self._shards.pool(viewer).execute(
            REMOVE_AUTHOR, viewer, author, before, list(keeping)
        )

    async def remove(self, viewer: UserId, posts: Sequence[PostId]) -> None:
        await self._shards.pool(viewer).execute(REMOVE, viewer, list(posts))

    async def remove_post(self, viewers: Sequence[UserId], post: PostId) -> None:
        for pool, part in self._parts(viewers, BATCH):
            await pool.execute(REMOVE_POST, part, post)

    async def erase(self, user: UserId) -> None:
        await self._shards.pool(user).execute(ERASE_VIEWER, user)
        await self._shards.pool(user).execute(ERASE_READER, user)
        for pool in self._shards.all():
            await self._erase_author(pool, user)

    def _parts(
        self, viewers: Sequence[UserId], size: int
    ) -> Iterator[tuple[Pool, list[UserId]]]:
        """The viewers by database, sorted, in parts of one statement each."""
        for pool, group in self._shards.group(viewers):
            group.sort()
            for start in range(0, len(group), size):
                yield pool, group[start : start + size]

    async def _erase_author(self, pool: Pool, author: UserId) -> None:
        last = ABOVE_ALL
        reached = -1
        while reached < last:
            end = await pool.fetchval(SLICE_END, reached, ERASE_SLICE)
            end = last if end is None else end
            await pool.execute(ERASE_AUTHOR, reached, end, author)
            reached = end


class PostgresGenerations:
    """Generations on Postgres: one row, on the first shard."""

    def __init__(self, *, shards: Shards) -> None:
        self._shards = shards

    async def current(self) -> int:
        return int(await self._pool().fetchval(GENERATION))

    async def advance(self) -> None:
        await self._pool().execute(ADVANCE)

    def _pool(self) -> Pool:
        return next(iter(self._shards.all()))
