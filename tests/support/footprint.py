"""What people have left in the databases of the rooms: the same as before, or gone."""

from collections.abc import Sequence

from tests.support.mesh import Mesh

# Every column that holds the id of a person, by room. Not the append-only audit trail
# and not the outbox, which names whom an event is about until its days are over.
COLUMNS = {
    "svc_graph": (
        ("account", "user_id"),
        ("credential", "user_id"),
        ("session", "user_id"),
        ("follow", "follower_id"),
        ("follow", "followee_id"),
        ("follow_request", "requester_id"),
        ("follow_request", "target_id"),
        ("block", "blocker_id"),
        ("block", "blocked_id"),
        ("mute", "muter_id"),
        ("mute", "muted_id"),
        ("celebrity", "user_id"),
    ),
    "svc_ingest": (
        ("post", "author_id"),
        ("post_like", "user_id"),
        ("share", "user_id"),
        ("comment", "author_id"),
    ),
    "svc_feed": (("feed_entry", "author_id"), ("feed_entry", "viewer_id")),
}


async def rows_of(mesh: Mesh, people: Sequence[str]) -> dict[str, int]:
    """How many rows name one of these people, by table and column, zeros left out."""
    found: dict[str, int] = {}
    for room, columns in COLUMNS.items():
        query = " UNION ALL ".join(
            f"SELECT '{table}.{column} ' || count(*) FROM {table} "  # noqa: S608 # names of ours
            f"WHERE {column} = ANY($1::bigint[])"
            for table, column in columns
        )
        for line in await mesh.fetch(room, query, [int(one) for one in people]):
            name, _, count = str(line).partition(" ")
            if int(count):
                found[f"{room}.{name}"] = int(count)
    return found


async def contents(mesh: Mesh, people: Sequence[str]) -> list[object]:
    """What these people wrote and how they are described, row by row."""
    ids = [int(one) for one in people]
    return [
        await mesh.fetch(
            "svc_ingest",
            "SELECT (post_id, version, visibility, body)::text FROM post "
            "WHERE author_id = ANY($1::bigint[]) ORDER BY post_id",
            ids,
        ),
        await mesh.fetch(
            "svc_graph",
            "SELECT (a.*, g.state, g.is_private)::text FROM account a "
            "JOIN graph_state g USING (user_id) "
            "WHERE user_id = ANY($1::bigint[]) ORDER BY user_id",
            ids,
        ),
        await mesh.fetch("svc_graph", "SELECT count(*) FROM account"),
    ]
