"""P2: GET /v1/feed as JSON through the gateway, ranked; CPU a page over everything."""

import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack

from bench import cpu
from bench.home_feed import PAGE, warm_up
from bench.http import bearer, connection
from bench.load import Driven, drive
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
        # The first pages show the gateway every token.
        size = int(statistics.median(await _pages(mesh.http_port, tokens)))
        echo = await stack.enter_async_context(ceiling("echo", str(RANK_BYTES)))
        relay = await stack.enter_async_context(
            ceiling("relay", str(wire), echo.target)
        )
        http = await stack.enter_async_context(ceiling("http", str(size), relay.target))
        chain = (http, relay, echo)
        load = load_average()
        ours, its, rates = [], [], []
        spent, failed = cpu.Spent(), 0
        for _ in range(run.rounds):
            before = mesh.spent()
            driven = await _load(mesh.http_port, tokens, calls)
            cost = mesh.spent().since(before)
            spent += cost
            ours.append(cost.each(calls))
            rates.append(driven.rate)
            failed += driven.failed

            started = [one.spent() for one in chain]
            await _load(http.port, tokens, calls)
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
                (f"{rounds} µs; {statistics.median(rates):,.0f} pages/s; {size} bytes"),
                f"{failed} failed; µs a page: {spent.by_kind(calls * run.rounds)}",
            ],
        )
    ]


async def _load(port: int, tokens: Sequence[bytes], calls: int) -> Driven:
    """Pages on 32 connections, readers in turn."""
    async with AsyncExitStack() as stack:
        free = [
            await stack.enter_async_context(connection(port))
            for _ in range(CONNECTIONS)
        ]

        async def page(number: int) -> None:
            opened = free.pop()
            try:
                await opened.get(PATH, tokens[number % len(tokens)])
            finally:
                free.append(opened)

        return await drive(page, calls=calls, in_flight=CONNECTIONS)


async def _pages(port: int, tokens: Sequence[bytes]) -> list[int]:
    """Sizes of a page of each reader."""
    async with connection(port) as opened:
        return [len(await opened.get(PATH, token)) for token in tokens]
