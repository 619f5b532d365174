"""P11: `meshctl up --no-seed` from nothing to ready, engines included."""

import statistics

from bench.mesh import running_mesh
from bench.results import Line, load_average
from bench.shared import Run

GOAL_SECONDS = 10.0


async def start_up(run: Run) -> list[Line]:
    load = load_average()
    seconds = []
    for _ in range(run.extent(3, 1)):
        async with running_mesh(run.folder) as mesh:
            seconds.append(mesh.start_seconds)
    median = statistics.median(seconds)
    return [
        Line(
            name="P11",
            what="meshctl up --no-seed, from no data to ready",
            ours=f"{median:.1f} s",
            ceiling=f"{GOAL_SECONDS:.0f} s",
            ratio=GOAL_SECONDS / median,
            goal=1.0,
            load=load,
            notes=["starts: " + ", ".join(f"{one:.1f} s" for one in seconds)],
        )
    ]
