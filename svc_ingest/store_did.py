"""What people did, and the version of it: shared by the stores of likes and shares."""

from collections.abc import Iterable

from chassis.postgres import Statements

from .model import Actions, Did, PostId, UserId

# Enough for every page that people look at; older posts are looked up one by one.
NEWEST = 500

BUMP = """
INSERT INTO viewer_version (user_id, version)
SELECT user_id, 1 FROM unnest($1::bigint[]) AS user_id
ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET version = viewer_version.version + 1
RETURNING user_id, version
"""

# One statement, so that version and lists are of one instant.
DID = """
SELECT
    coalesce((SELECT version FROM viewer_version WHERE user_id = $1), 0) AS version,
    ARRAY(SELECT post_id FROM post_like WHERE user_id = $1
          ORDER BY post_id DESC LIMIT $2) AS liked,
    ARRAY(SELECT original_id FROM share WHERE user_id = $1
          ORDER BY original_id DESC LIMIT $2) AS shared
"""

ON_POST = """
SELECT
    EXISTS (SELECT 1 FROM post_like WHERE post_id = $2 AND user_id = $1) AS liked,
    EXISTS (SELECT 1 FROM share WHERE user_id = $1 AND original_id = $2) AS shared
"""


async def bump(tx: Statements, users: Iterable[UserId]) -> dict[UserId, int]:
    """Gives each person's actions a new version, in the transaction of the change."""
    wanted = sorted(set(users))
    rows = await tx.fetch(BUMP, wanted) if wanted else []
    return {UserId(row["user_id"]): row["version"] for row in rows}


async def did(statements: Statements, user: UserId) -> Did:
    """The person's likes and shares of the newest posts."""
    row = await statements.fetchrow(DID, user, NEWEST)
    assert row is not None  # a SELECT without FROM has one row
    liked, shared = set(row["liked"]), set(row["shared"])
    newest = sorted(liked | shared, reverse=True)[:NEWEST]
    return Did(
        version=row["version"],
        actions={
            PostId(post_id): Actions(post_id in liked, post_id in shared)
            for post_id in newest
        },
    )


async def on_post(statements: Statements, user: UserId, post_id: PostId) -> Actions:
    """What the person did with one post."""
    row = await statements.fetchrow(ON_POST, user, post_id)
    assert row is not None  # a SELECT without FROM has one row
    return Actions(liked=row["liked"], shared=row["shared"])
