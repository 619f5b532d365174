"""The gRPC server of a service: handlers behind interceptors, health, reflection."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from feedmesh.options.v1 import options_pb2

from chassis import policy
from chassis.errors import Unimplemented
from chassis.health import Health
from chassis.interceptors.base import Handler, Interceptor, bind
from chassis.tracing import server_interceptors

# A generated add_…_to_server, and the servicer it adds. The stubs type each adder
# for a servicer of its own; there is no common type but Any.
Adder: TypeAlias = Callable[[Any, Any], None]

MIB = 1024 * 1024

OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MIB),
    ("grpc.max_send_message_length", 4 * MIB),
    ("grpc.max_metadata_size", 8_192),
    ("grpc.absolute_max_metadata_size", 16_384),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # How often a client's keepalive may come when nothing else does. gRPC's own name
    # for it says "recv"; under that name it is not read, and idle streams are cut.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", 600_000),
    # Connections are renewed, so that calls spread over new backends.
    ("grpc.max_connection_age_ms", 300_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    # Workers listen on ports of their own: the kernel balances connections, and one
    # HTTP/2 connection carries all of a client's calls.
    ("grpc.so_reuseport", 0),
)

CALLS_ON_ONE_CONNECTION = 128

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"

# Room for health checks and refusals above what the admission interceptor lets in.
SPARE_CALLS = 512


class Handlers(grpc.GenericRpcHandler):
    """The methods of a server, each with its interceptors around it.

    It takes the place of the server in a generated add_…_to_server.
    """

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = interceptors
        self._by_path: dict[str, Handler] = {}
        self._unknown = self._bound("", None, _unknown())

    @property
    def paths(self) -> Iterable[str]:
        """Every method, as calls name it."""
        return self._by_path.keys()

    def add_registered_method_handlers(
        self,
        service_name: str,
        method_handlers: Mapping[str, Handler],
    ) -> None:
        """Called by generated code. RuntimeError for a method without a policy."""
        for method, handler in method_handlers.items():
            path = f"/{service_name}/{method}"
            self._by_path[path] = self._bound(path, _plan_of(path), handler)

    def add_generic_rpc_handlers(self, _: Iterable[grpc.GenericRpcHandler]) -> None:
        """Called by generated code, with what it registers by method as well."""

    def alias(self, path: str, name: str) -> None:
        """Serves a method under another name too."""
        self._by_path[name] = self._by_path[path]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        """The handler of a call; one that refuses when there is no such method."""
        return self._by_path.get(handler_call_details.method, self._unknown)

    def _bound(
        self,
        path: str,
        plan: policy.MethodPlan | None,
        handler: Handler,
    ) -> Handler:
        return bind(path, plan, handler, self._interceptors)


def build(
    rpcs: Iterable[tuple[Adder, object]],
    *,
    interceptors: Sequence[Interceptor],
    concurrent: int,
    with_reflection: bool,
) -> tuple[grpc.aio.Server, Health]:
    """A server of these servicers, not started; its health is NOT_SERVING so far.

    RuntimeError when a method of ours has no method_policy in the contract.
    """
    handlers = Handlers(interceptors)
    for add_servicer, servicer in rpcs:
        add_servicer(servicer, handlers)
    names = sorted({path.split("/")[1] for path in handlers.paths})
    health = Health(names)
    add: Adder = health_pb2_grpc.add_HealthServicer_to_server
    add(health, handlers)
    if with_reflection:
        _add_reflection([*names, "grpc.health.v1.Health"], handlers)

    server = grpc.aio.server(
        handlers=(handlers,),
        interceptors=list(server_interceptors()),
        options=[
            *OPTIONS,
            ("grpc.max_concurrent_streams", _on_one_connection(handlers, concurrent)),
        ],
        maximum_concurrent_rpcs=concurrent + SPARE_CALLS,
    )
    return server, health


def _add_reflection(names: list[str], handlers: Handlers) -> None:
    """Under both names: newer clients ask for v1 first, and it is the same logic."""
    servicer = reflection.aio.ReflectionServicer(
        [*names, reflection.SERVICE_NAME, REFLECTION_V1]
    )
    add: Adder = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
    add(servicer, handlers)
    alpha = f"/{reflection.SERVICE_NAME}/ServerReflectionInfo"
    handlers.alias(alpha, f"/{REFLECTION_V1}/ServerReflectionInfo")


def _on_one_connection(handlers: Handlers, concurrent: int) -> int:
    """Calls and streams that one connection may carry at the same time.

    A gateway holds the long-lived streams of many readers on one connection; what is
    above the limit would wait there without a word.
    """
    plans = policy.methods()
    has_streams = any(
        plans[path].is_long_lived for path in handlers.paths if path in plans
    )
    return max(CALLS_ON_ONE_CONNECTION, concurrent if has_streams else 0)


def _plan_of(path: str) -> policy.MethodPlan | None:
    """The plan of a method; None for those of health and reflection."""
    if path.startswith(policy.EXEMPT):
        return None
    plan = policy.methods().get(path)
    if plan is None or plan.policy.audience == options_pb2.AUDIENCE_UNSPECIFIED:
        raise RuntimeError(f"{path} has no method_policy with an audience")
    if plan.deadline is None and not plan.is_long_lived:
        raise RuntimeError(f"{path} has no deadline in its method_policy")
    return plan


def _unknown() -> Handler:
    """Answers at once, whatever kind of call it is: it reads no request."""

    async def refuse(_requests: object, _context: object) -> bytes:
        raise Unimplemented("METHOD_UNKNOWN", "there is no such method")

    return grpc.stream_unary_rpc_method_handler(refuse)
