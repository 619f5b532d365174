"""P2: GET /v1/feed as JSON through the gateway, ranked; CPU a page over everything."""

import statistics
from contextlib import AsyncExitStack

from bench import cpu
from bench.home_feed import PAGE, warm_up
from bench.http import bearer, connection
from bench.load import drive
from bench.processes import ceiling
from bench.results import Line, Rounds, load_average
from bench.shared import Run

GOAL = 4.5
CONNECTIONS = 32
PATH = f"/v1/feed?pageSize={PAGE}"
# Of an answer of svc_rank.
RANK_BYTES = 600


async def http_feed(run: Run) -> list[Line]:
    mesh, world = await run.mesh(), await run.world()
    calls = run.extent(6_000, 1_000)
    wire = await warm_up(mesh, world)
    tokens = [bearer(mesh.token(reader)) for reader in world.readers]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        port = mesh.http_port
        ours_open = [await enter(connection(port)) for _ in range(CONNECTIONS)]
        size = statistics.median(
            [len(await ours_open[0].get(PATH, token)) for token in tokens]
        )
        echo = await enter(ceiling("echo", str(RANK_BYTES)))
        relay = await enter(ceiling("relay", str(wire), echo.target))
        http = await enter(ceiling("http", str(int(size)), relay.target))
        its_open = [await enter(connection(http.port)) for _ in range(CONNECTIONS)]
        load = load_average()

        async def page(number: int) -> None:
            opened = ours_open.pop()
            try:
                await opened.get(PATH, tokens[number % len(tokens)])
            finally:
                ours_open.append(opened)

        async def chained(number: int) -> None:
            opened = its_open.pop()
            await opened.get(PATH, tokens[number % len(tokens)])
            its_open.append(opened)

        ours, its, rates = [], [], []
        spent, failed = cpu.Spent(), 0
        for _ in range(run.rounds):
            before = mesh.spent()
            driven = await drive(page, calls=calls, in_flight=CONNECTIONS)
            cost = mesh.spent().since(before)
            spent += cost
            ours.append(cost.each(calls))
            rates.append(driven.rate)
            failed += driven.failed

            chain = (http, relay, echo)
            started = [one.spent() for one in chain]
            await drive(chained, calls=calls, in_flight=CONNECTIONS)
            costs = [
                one.spent().since(before)
                for one, before in zip(chain, started, strict=True)
            ]
            its.append(sum(cost.each(calls) for cost in costs))
    rounds = Rounds(ours, its)
    mine, theirs = rounds.medians
    return [
        Line(
            name="P2",
            what="GET /v1/feed as JSON, ranked, 32 connections: CPU a page of the mesh,"
            " against the trivial unary chain of three hops",
            ours=f"{mine:.0f} µs",
            ceiling=f"{theirs:.0f} µs",
            ratio=theirs / mine,
            goal=GOAL,
            load=load,
            notes=[
                (
                    f"{rounds} µs; {statistics.median(rates):,.0f} pages/s;"
                    f" {size:.0f} bytes"
                ),
                f"{failed} failed; µs a page: {spent.by_kind(calls * run.rounds)}",
            ],
        )
    ]
