"""Ranking away, slow, frozen and lying: F6 to F9."""

from __future__ import annotations

import asyncio
import math
import random

from grpc.aio import ServicerContext

from feedmesh.rank.v1 import rank_pb2, rank_pb2_grpc

from chassis.testing.serving import serving

from tests.faults.faults import Fault, NotInjected, Scene
from tests.faults.faults_services import slowed
from tests.faults.mesh import KILL

# Two of them, there and back, and the calls' own work are just under the budget.
JUST_UNDER = 0.032


async def dead(scene: Scene) -> None:
    """Killed, and out of reach when it is back."""
    proxies = scene.mesh.proxies.to("rank")
    try:
        for proxy in proxies:
            proxy.refuse()
        scene.mesh.signal("svc_rank", KILL)
        await asyncio.sleep(scene.seconds)
    finally:
        for proxy in proxies:
            proxy.heal()


async def slow(scene: Scene) -> None:
    async with slowed(scene.mesh.proxies.to("rank"), JUST_UNDER):
        await asyncio.sleep(scene.seconds)


async def frozen(scene: Scene) -> None:
    async with scene.mesh.frozen("svc_rank"):
        await asyncio.sleep(scene.seconds)


class Liar(rank_pb2_grpc.RankServiceServicer):
    """Answers every call for an order with some nonsense."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.told = 0

    async def Rank(
        self,
        request: rank_pb2.RankRequest,
        context: ServicerContext[rank_pb2.RankRequest, rank_pb2.RankResponse],
    ) -> rank_pb2.RankResponse:
        self.told += 1
        count = len(request.post_ids)
        order = list(range(count))
        scores = [1.0] * count
        match self._dice.randrange(6):
            case 0:
                order = order[::2]
            case 1:
                order += [count, count + 7, -1, 2**31 - 1]
            case 2:
                order = [0] * count + order
            case 3:
                scores = [math.nan, math.inf] * count
            case 4:
                order.reverse()
            case _:
                order, scores = [], []
        return rank_pb2.RankResponse(order=order, scores=scores, model_version="liar")


async def lying(scene: Scene) -> None:
    """Another server stands where ranking was."""
    liar = Liar(scene.dice)
    proxies = scene.mesh.proxies.to("rank")
    adder = rank_pb2_grpc.add_RankServiceServicer_to_server
    secrets = scene.mesh.plan.layout.secrets
    ports = {proxy: proxy.target_port for proxy in proxies}
    async with serving({adder: liar}, secrets_dir=secrets) as served:
        try:
            for proxy in proxies:
                proxy.lead_to(int(served.target.rpartition(":")[2]))
                proxy.reset()
            await asyncio.sleep(scene.seconds)
        finally:
            for proxy in proxies:
                proxy.lead_to(ports[proxy])
                proxy.reset()
    if not liar.told:
        raise NotInjected("nobody asked the liar")


FAULTS = (
    Fault(name="F6", what="svc_rank dead", inject=dead),
    Fault(
        name="F7", what="svc_rank just under its budget", inject=slow, short=3, long=10
    ),
    Fault(name="F8", what="svc_rank frozen for long", inject=frozen, short=4, long=30),
    Fault(name="F9", what="svc_rank answers nonsense", inject=lying, short=4, long=8),
)
