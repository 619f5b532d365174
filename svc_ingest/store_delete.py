"""The deletion of posts inside a transaction: one way for all who delete."""

from collections.abc import Sequence

from feedmesh.ingest.v1.events_pb2 import PostDeleted
from feedmesh.ingest.v1.post_pb2 import VISIBILITY_UNSPECIFIED as UNSPECIFIED

from chassis.outbox import Draft, Outbox
from chassis.postgres import Statements

from .model import PostId, UserId
from .store_did import bump

# In id order, so that two deletions do not wait for each other in a ring.
LOCK = """
SELECT post_id, author_id, visibility, reply_to, share_of, quote_of, version, body
FROM post WHERE post_id = ANY($1::bigint[])
ORDER BY post_id
FOR UPDATE
"""

DELETE = """
DELETE FROM post WHERE post_id = ANY($1::bigint[])
RETURNING post_id, author_id, version, share_of, visibility
"""

REMEMBER = """
INSERT INTO deleted_post (post_id, author_id, version)
SELECT post_id, author_id, version
FROM unnest($1::bigint[], $2::bigint[], $3::integer[])
    AS t (post_id, author_id, version)
ON CONFLICT (post_id) DO NOTHING
"""

UNSHARE = """
DELETE FROM share USING unnest($1::bigint[], $2::bigint[]) AS t (person, original)
WHERE share.user_id = t.person AND share.original_id = t.original
"""

FORGET_STATS = "DELETE FROM post_stats WHERE post_id = ANY($1::bigint[])"


class Deletion:
    """Which posts a transaction deletes, and whose shares among them."""

    def __init__(self, *, outbox: Outbox) -> None:
        self._outbox = outbox
        self.versions: dict[PostId, int] = {}
        self.sharers: dict[UserId, int] = {}

    async def run(self, tx: Statements, post_ids: Sequence[PostId]) -> None:
        """Deletes the posts, which the caller has locked, with an event for each.

        Versions are those of the deletions: one above the last of the post.
        """
        rows = await tx.fetch(DELETE, list(post_ids))
        if not rows:
            return
        self.versions = {PostId(row["post_id"]): row["version"] + 1 for row in rows}
        await tx.execute(
            REMEMBER,
            [row["post_id"] for row in rows],
            [row["author_id"] for row in rows],
            [row["version"] + 1 for row in rows],
        )
        await tx.execute(FORGET_STATS, list(self.versions))
        shares = [row for row in rows if row["share_of"]]
        if shares:
            people = [UserId(row["author_id"]) for row in shares]
            await tx.execute(UNSHARE, people, [row["share_of"] for row in shares])
            self.sharers = await bump(tx, people)
        events = [
            Draft(
                PostDeleted(
                    post_id=row["post_id"],
                    author_id=row["author_id"],
                    share_of=row["share_of"],
                    # An edit may have narrowed it: then others had it, too.
                    visibility=row["visibility"]
                    if row["version"] == 1
                    else UNSPECIFIED,
                ),
                aggregate_id=row["post_id"],
                version=row["version"] + 1,
            )
            for row in rows
        ]
        await self._outbox.append_all(tx, events)
