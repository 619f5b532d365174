"""P4: CreatePost, acknowledged after commit; CPU a post.

Counted is what works for the post until its event is published and delivered, after
the acknowledgement too: svc_ingest, its sessions in Postgres and Postgres' own
processes, Valkey, NATS, the gateway and svc_rank (which idle). What
svc_feed and svc_push do with the event, asking svc_graph, is work for readers: P3 and
P5 measure it, and it is shown here in a note.
"""

import itertools
import statistics

from feedmesh.ingest.v1 import post_pb2

from bench import cpu
from bench.ceilings import Call
from bench.load import drive
from bench.mesh import Mesh
from bench.processes import ceiling
from bench.results import Line, Rounds, load_average
from bench.shared import Run
from bench.world import until

GOAL = 0.5
IN_FLIGHT = 64
PATH = "/feedmesh.ingest.v1.PostService/CreatePost"
FOR_READERS = (
    *("svc_feed", "svc_push", "svc_graph"),
    *("postgres/svc_feed", "postgres/svc_graph"),
)
ANSWER_BYTES = 200


async def create_post(run: Run) -> list[Line]:
    mesh, world = await run.mesh(), await run.world()
    calls = run.extent(4_000, 1_000)
    authors = [(mesh.identity(author),) for author in world.crowd[:1_000]]
    number_of = itertools.count()
    async with mesh.channel("ingest") as channel:
        create: Call = channel.unary_unary(PATH)

        def request(number: int) -> bytes:
            return post_pb2.CreatePostRequest(
                text=world.text(number), request_id=f"bench-{number}"
            ).SerializeToString()

        async def post(_: int) -> None:
            number = next(number_of)
            who = authors[number % len(authors)]
            await create(request(number), metadata=who)

        await drive(post, calls=500, in_flight=IN_FLIGHT)
        await _settled(mesh)
        load = load_average()
        database = mesh.database("postgres")
        async with (
            ceiling("insert", str(ANSWER_BYTES), database) as insert,
            insert.caller() as ask,
        ):
            await drive(lambda n: ask(request(n)), calls=500, in_flight=IN_FLIGHT)
            ours, its, rates = [], [], []
            spent, later, failed = cpu.Spent(), cpu.Spent(), 0
            for _ in range(run.rounds):
                before = mesh.spent()
                driven = await drive(post, calls=calls, in_flight=IN_FLIGHT)
                spent += mesh.spent().since(before)
                rates.append(driven.rate)
                failed += driven.failed
                await _settled(mesh)
                cost = mesh.spent().since(before)
                later += cost
                ours.append(cost.without(*FOR_READERS) / calls * 1e6)

                before, stored = insert.spent(), mesh.spent()
                await drive(lambda n: ask(request(n)), calls=calls, in_flight=IN_FLIGHT)
                stores = mesh.spent().since(stored)
                cost = insert.spent().since(before)
                total = cost.without() + stores.of("postgres/postgres", "postgres")
                its.append(total / calls * 1e6)
    rounds = Rounds(ours, its)
    mine, theirs = rounds.medians
    posts, rate = calls * run.rounds, statistics.median(rates)
    return [
        Line(
            name="P4",
            what="CreatePost, 64 in flight, acknowledged after commit: CPU a post,"
            " against an echo with a single-row insert transaction",
            ours=f"{mine:.0f} µs",
            ceiling=f"{theirs:.0f} µs",
            ratio=theirs / mine,
            goal=GOAL,
            load=load,
            notes=[
                f"{rounds} µs; {rate:,.0f} posts/s, {failed} failed",
                f"µs a post until the last was acknowledged: {spent.by_kind(posts)}",
                f"until all consumers had done with it: {later.by_kind(posts)}",
            ],
        )
    ]


async def _settled(mesh: Mesh) -> None:
    """Waits until every post is in its author's feed: nothing is left to be done."""
    async with (
        mesh.connect("svc_ingest") as ingest,
        mesh.connect("svc_feed") as feed,
    ):
        newest = await ingest.fetch(
            "SELECT post_id, author_id FROM post ORDER BY post_id DESC LIMIT 100"
        )

        async def placed() -> bool:
            found = await feed.fetchval(
                "SELECT count(*) FROM feed_entry JOIN"
                " unnest($1::bigint[], $2::bigint[]) AS new (post_id, viewer_id)"
                " USING (viewer_id, post_id)",
                [row[0] for row in newest],
                [row[1] for row in newest],
            )
            return int(found) == len(newest)

        await until(placed, every=0.2, seconds=120)
