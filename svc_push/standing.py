"""Whether those whose streams are held here still have an account."""

import asyncio
from datetime import timedelta

import structlog

from chassis.errors import MeshError

from domain.visibility import UserState

from .connections import Connections, closed
from .delivery import TIES
from .model import NOBODY
from .ports import Graph

log = structlog.get_logger()


class Standing:
    """Ends the streams of people who were suspended or are gone.

    They are told by event at once; this makes good an event that is late or lost.
    """

    def __init__(
        self, *, graph: Graph, connections: Connections, every: timedelta
    ) -> None:
        self._graph = graph
        self._connections = connections
        self._every = every

    async def run(self) -> None:
        """Background loop; never ends."""
        while True:
            await asyncio.sleep(self._every.total_seconds())
            try:
                await self.check()
            except MeshError as error:
                # Nobody is taken for gone because the graph is away.
                log.warning("standing.check_failed", error=str(error))

    async def check(self) -> None:
        """Asks once for all who have a stream here."""
        held = sorted(self._connections.counts())
        for start in range(0, len(held), TIES):
            batch = held[start : start + TIES]
            relations = await self._graph.relations(NOBODY, batch)
            for viewer in batch:
                if relations.of[viewer].state != UserState.ACTIVE:
                    self._connections.end(viewer, closed())
