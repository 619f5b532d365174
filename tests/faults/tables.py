"""The tables, copies and dead letters of the mesh, as they are in the end."""

from __future__ import annotations

from contextlib import suppress

import nats.js.errors
from redis.asyncio import Redis

from tests.faults.faults_bus import DEAD, DEADLY, POISON
from tests.faults.findings import FINAL
from tests.faults.history import History
from tests.faults.mesh import FaultMesh
from tests.faults.model import Posts
from tests.faults.world import CROWD, World

STATS = """
SELECT s.post_id, s.like_count, s.comment_count,
       (SELECT count(*) FROM post_like l WHERE l.post_id = s.post_id) AS likes,
       (SELECT count(*) FROM comment c WHERE c.post_id = s.post_id) AS comments
FROM post_stats s WHERE EXISTS (SELECT FROM post p WHERE p.post_id = s.post_id)
"""
EDGES = """
SELECT g.user_id, g.follower_count, g.following_count,
       (SELECT count(*) FROM follow f WHERE f.followee_id = g.user_id) AS followers,
       (SELECT count(*) FROM follow f WHERE f.follower_id = g.user_id) AS following
FROM graph_state g
"""
DELETED = "SELECT DISTINCT post_id FROM feed_entry WHERE post_id = ANY($1::bigint[])"
PLACED = """
SELECT count(*) FROM feed_entry
WHERE post_id = $1 AND NOT viewer_id = ANY($2::bigint[])
"""


async def read_tables(mesh: FaultMesh, world: World, posts: Posts) -> None:
    history = world.history
    begin = history.now()
    drift: dict[str, list[str]] = {"posts": [], "people": []}
    async with mesh.database("svc_ingest") as database:
        for row in await database.fetch(STATS):
            if row["like_count"] != row["likes"] or (
                row["comment_count"] != row["comments"]
            ):
                drift["posts"].append(str(dict(row)))
    async with mesh.database("svc_graph") as database:
        for row in await database.fetch(EDGES):
            if row["follower_count"] != row["followers"] or (
                row["following_count"] != row["following"]
            ):
                drift["people"].append(str(dict(row)))
    final = {"phase": FINAL}
    history.add("tables", "counters", final, begin=begin, answer=drift)
    async with mesh.database("svc_feed") as database:
        left = await database.fetch(DELETED, sorted(posts.deleted))
        history.add(
            "tables",
            "index_of_deleted",
            final,
            begin=begin,
            answer={"posts": [row["post_id"] for row in left]},
        )
        cached = await _cached(mesh, sorted(posts.deleted))
        history.add(
            "tables", "copies_of_deleted", final, begin=begin, answer={"posts": cached}
        )
        known = [person.user_id for person in world.everybody]
        for post, write in posts.acknowledged.items():
            if write.args["me"] != world.loud.user_id or posts.may_be_deleted(post):
                continue
            rows = await database.fetchval(PLACED, post, known)
            history.add(
                "tables",
                "placed",
                {**final, "post": post, "written": write.begin},
                begin=begin,
                answer={"rows": rows, "wanted": CROWD},
            )


async def _cached(mesh: FaultMesh, posts: list[int]) -> list[int]:
    """Those of the posts of which Valkey has a copy that may be shown."""
    if not posts:
        return []
    async with Redis.from_url(mesh.engines.valkey_url) as valkey:
        copies = await valkey.mget([f"p:{post}" for post in posts])
    # The letter of a value; others say that it is gone, or about to change.
    return [p for p, raw in zip(posts, copies, strict=True) if raw and raw[:1] == b"v"]


async def read_letters(mesh: FaultMesh, history: History) -> None:
    """The dead letters but those that were meant to die."""
    begin, found = history.now(), []
    async with mesh.jetstream() as stream:
        state = (await stream.stream_info(DEAD)).state
        for number in range(state.first_seq or 1, state.last_seq + 1):
            with suppress(nats.js.errors.NotFoundError):
                letter = await stream.get_msg(DEAD, number)
                data = letter.data or b""
                if not data.startswith(POISON) and DEADLY not in data:
                    found.append(f"{letter.subject}: {letter.headers}")
    final = {"phase": FINAL}
    history.add("tables", "letters", final, begin=begin, answer={"strange": found})
