"""Request id, trace and duration of every call, refused ones too."""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from chassis import context
from chassis.interceptors.base import Interceptor, Proceed, ServerCall
from chassis.metrics import MethodMetrics, RpcMetrics
from chassis.policy import MethodPlan


class Telemetry(Interceptor):
    """Outermost, so that it sees how every call ended."""

    def __init__(self, *, registry: CollectorRegistry) -> None:
        self._metrics = RpcMetrics(registry, side="server")
        self._by_path: dict[str, MethodMetrics] = {}

    def covers(self, plan: MethodPlan | None) -> bool:
        return True

    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        context.enter_request(call.text(context.REQUEST_ID_KEY))
        context.enter_trace(call.text(context.TRACEPARENT_KEY))
        context.enter_graph_version(call.text(context.GRAPH_VERSION_KEY))
        measured = self._of(call.path).begin()
        try:
            return await proceed(call)
        except asyncio.CancelledError:
            call.status = "CANCELLED"
            raise
        finally:
            measured.end(call.status)
            measured.leave()

    def _of(self, path: str) -> MethodMetrics:
        found = self._by_path.get(path)
        if found is None:
            found = self._by_path[path] = self._metrics.of(path)
        return found
