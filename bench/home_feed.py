"""P1: GetHomeFeed by plain unary calls, hot and ranked; CPU a page."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

import grpc.aio

from feedmesh.feed.v1 import feed_pb2

from bench import cpu
from bench.ceilings import Call
from bench.load import drive
from bench.mesh import Mesh
from bench.processes import ceiling
from bench.results import Line, Rounds, load_average
from bench.shared import Run
from bench.world import World

GOAL = 0.36
IN_FLIGHT = 32
PAGE = 20
PATH = "/feedmesh.feed.v1.FeedService/GetHomeFeed"
REQUEST = feed_pb2.GetHomeFeedRequest(page_size=PAGE).SerializeToString()


async def home_feed(run: Run) -> list[Line]:
    mesh, world = await run.mesh(), await run.world()
    calls = run.extent(6_000, 1_000)
    async with mesh.channel("feed") as channel:
        get: Call = channel.unary_unary(PATH)
        readers = [(mesh.identity(reader),) for reader in world.readers]

        async def page(number: int) -> bytes:
            return bytes(await get(REQUEST, metadata=readers[number % len(readers)]))

        size = await warm_up(mesh, world)
        load = load_average()
        async with ceiling("echo", str(size)) as echo, echo.caller() as ask:
            ours, its, rates = [], [], []
            spent, failed = cpu.Spent(), 0
            for _ in range(run.rounds):
                before = mesh.spent()
                driven = await drive(page, calls=calls, in_flight=IN_FLIGHT)
                cost = mesh.spent().since(before)
                spent += cost
                ours.append(cost.each(calls))
                rates.append(driven.rate)
                failed += driven.failed

                before = echo.spent()
                await drive(
                    lambda _: ask(REQUEST), calls=calls * 3, in_flight=IN_FLIGHT
                )
                its.append(echo.spent().since(before).each(calls * 3))
        kinds = await kinds_of_pages(mesh, world)
    rounds = Rounds(ours, its)
    mine, theirs = rounds.medians
    return [
        Line(
            name="P1",
            what="GetHomeFeed, hot, page of 20, ranked: CPU a page of the whole mesh",
            ours=f"{mine:.0f} µs",
            ceiling=f"{theirs:.0f} µs",
            ratio=theirs / mine,
            goal=GOAL,
            load=load,
            notes=[
                f"{rounds} µs; {statistics.median(rates):,.0f} pages/s; {size} bytes",
                f"{failed} failed; µs a page: {spent.by_kind(calls * run.rounds)}",
                f"served as, from: {kinds}",
            ],
        )
    ]


async def warm_up(mesh: Mesh, world: World) -> int:
    """Every reader's page twice, so that feeds are hot; the median size in bytes."""
    return int(statistics.median(await read_all(mesh, [*world.readers] * 2)))


async def read_all(mesh: Mesh, readers: Sequence[int]) -> list[int]:
    """A page of each; the sizes in bytes."""
    sizes: list[int] = []
    async with mesh.channel("feed") as channel:
        get: Call = channel.unary_unary(PATH)

        async def page(number: int) -> None:
            who = (mesh.identity(readers[number]),)
            sizes.append(len(await get(REQUEST, metadata=who)))

        # Cold feeds are dear: gently, so that none is refused.
        await drive(page, calls=len(readers), in_flight=4)
    return sizes


async def kinds_of_pages(mesh: Mesh, world: World) -> str:
    """How a sample of pages was served: what was measured must be the real thing."""
    found: Counter[str] = Counter()
    async with mesh.channel("feed") as channel:
        get: grpc.aio.UnaryUnaryMultiCallable[bytes, feed_pb2.GetHomeFeedResponse] = (
            channel.unary_unary(
                PATH, response_deserializer=feed_pb2.GetHomeFeedResponse.FromString
            )
        )

        async def page(number: int) -> None:
            who = (mesh.identity(world.readers[number]),)
            answer = await get(REQUEST, metadata=who)
            served = feed_pb2.ServedAs.Name(answer.served_as)
            source = feed_pb2.ServedFrom.Name(answer.served_from)
            found[f"{len(answer.items)} items {served} {source}"] += 1

        await drive(page, calls=min(200, len(world.readers)), in_flight=IN_FLIGHT)
    return ", ".join(f"{count} of {kind}" for kind, count in found.most_common(4))
