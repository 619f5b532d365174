"""PostService: counts, for operators."""

from feedmesh.ingest.v1 import post_pb2

from chassis import paging

from . import convert
from .model import PostId
from .reconciliation import Reconciliation
from .service_caller import Context


class CounterRpcs:
    """Counts compared with what they count."""

    _reconciliation: Reconciliation

    async def ReconcileCounters(
        self, request: post_pb2.ReconcileCountersRequest, context: Context
    ) -> post_pb2.ReconcileCountersResponse:
        size = paging.clamp(request.page_size, default=500, ceiling=1000)
        look = (
            self._reconciliation.repair
            if request.repair
            else (self._reconciliation.check)
        )
        compared = await look(after=PostId(request.after_post_id), size=size)

        return convert.compared_to_pb(compared, is_last=compared.count < size)
