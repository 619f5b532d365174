"""Import: follows a second of `meshctl import follows`, on the sparse graph."""

import time

from bench import world
from bench.results import Line, load_average
from bench.shared import Run
from meshctl.connection import connect_as_service
from meshctl.import_follows import import_follows

GOAL = 20_000.0
EVERYONE = 1_000_000


async def import_speed(run: Run) -> list[Line]:
    load = load_average()
    mesh = await run.mesh()
    edges = world.large_graph(most=run.extent(EVERYONE, 50_000))
    times: list[float] = []

    async with connect_as_service(mesh.place) as connection:
        began = time.perf_counter()
        done, _ = await import_follows(
            edges,
            graph=connection.graph,
            on_people=lambda _: times.append(time.perf_counter()),
            on_follows=lambda _: None,
        )
        ended = time.perf_counter()
    if done.new_follows != len(edges):
        raise RuntimeError(f"{done.new_follows} of {len(edges)} follows were new")
    # People come first, all of them.
    people, follows = times[-1] - began, ended - times[-1]
    rate = len(edges) / (ended - began)
    return [
        Line(
            name="import",
            what="follows a second, the people of them created on the way",
            ours=f"{rate:,.0f}/s",
            ceiling=f"{GOAL:,.0f}/s",
            ratio=rate / GOAL,
            goal=1.0,
            load=load,
            notes=[
                (
                    f"{done.people:,} people in {people:.1f} s,"
                    f" {done.follows:,} follows in {follows:.1f} s"
                    f" ({done.follows / follows:,.0f}/s by themselves)"
                )
            ],
        )
    ]
