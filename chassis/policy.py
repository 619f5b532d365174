"""The operational half of the contract: who, how long, how often, for every method.

Read once from the descriptor image that the stubs were generated from.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

import orjson
from google.protobuf.descriptor_pb2 import (
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from feedmesh.options.v1 import options_pb2

PACKAGE = "feedmesh."

# Served on every server, by everyone's contract instead of ours.
EXEMPT = ("/grpc.health.", "/grpc.reflection.", "/grpc.channelz.")

# Seconds by which gRPC may end a call before the timeout of its service config
# (grpc/grpc#34547: up to two). That timeout is a net below the one each call sets.
SLACK = 2.0


@dataclass(frozen=True, slots=True)
class MethodPlan:
    """One method of the contract and its policy."""

    full_name: str
    """The path of a call: /feedmesh.feed.v1.FeedService/GetHomeFeed."""

    service: str
    """Full name of the service."""

    method: str
    """Name of the method alone."""

    policy: options_pb2.MethodPolicy
    """What the contract says; an empty one where it says nothing."""

    idempotency: "MethodOptions.IdempotencyLevel.ValueType"
    """Whether a call can be repeated."""

    input: str
    """Full name of the request message."""

    output: str
    """Full name of the response message."""

    client_streaming: bool
    server_streaming: bool

    deadline: float | None
    """Seconds given to a call that names no deadline; None on long-lived streams."""

    max_deadline: float | None
    """Most seconds a call may ask for."""

    @property
    def is_long_lived(self) -> bool:
        """Whether a call lives until somebody ends it."""
        return self.deadline is None and (
            self.server_streaming or self.client_streaming
        )


@functools.cache
def methods() -> Mapping[str, MethodPlan]:
    """Every method of the contract, by the path of its calls."""
    plans = {plan.full_name: plan for file in image().file for plan in _plans_of(file)}
    return MappingProxyType(plans)


@functools.cache
def image() -> FileDescriptorSet:
    """The descriptor image, options of ours parsed."""
    content = resources.files("chassis").joinpath("image.binpb").read_bytes()
    return FileDescriptorSet.FromString(content)


def services(prefix: str = PACKAGE) -> list[str]:
    """Full names of the services below a package prefix, sorted."""
    return sorted(
        {plan.service for plan in methods().values() if plan.service.startswith(prefix)}
    )


def event_subject(message: type[Message]) -> str:
    """The bus subject of an event; ValueError for a message that is none."""
    event = message.DESCRIPTOR.GetOptions().Extensions[options_pb2.event]
    if not event.subject:
        raise ValueError(f"{message.DESCRIPTOR.full_name} is not an event")
    return event.subject


def service_config(service_names: Iterable[str]) -> str:
    """The gRPC service config, as JSON, of a channel to these services.

    Calls go to the healthy backends in turn and end at the longest deadline of their
    method, give or take SLACK. It says nothing of retries: those belong to the gateway.
    """
    wanted = set(service_names)
    return orjson.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": [
                {
                    "name": [{"service": plan.service, "method": plan.method}],
                    "timeout": f"{plan.max_deadline + SLACK:.3f}s",
                }
                for plan in methods().values()
                if plan.service in wanted and plan.max_deadline is not None
            ],
        }
    ).decode()


def _plans_of(file: FileDescriptorProto) -> Iterable[MethodPlan]:
    for service in file.service:
        name = f"{file.package}.{service.name}"
        if name.startswith(PACKAGE):
            for method in service.method:
                yield _plan_of(name, method)


def _plan_of(service: str, method: MethodDescriptorProto) -> MethodPlan:
    policy = method.options.Extensions[options_pb2.method_policy]
    deadline = _seconds(policy, "deadline")
    return MethodPlan(
        full_name=f"/{service}/{method.name}",
        service=service,
        method=method.name,
        policy=policy,
        idempotency=method.options.idempotency_level,
        input=method.input_type.lstrip("."),
        output=method.output_type.lstrip("."),
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
        deadline=deadline,
        max_deadline=_seconds(policy, "max_deadline") or deadline,
    )


def _seconds(policy: options_pb2.MethodPolicy, field: str) -> float | None:
    if not policy.HasField(field):  # type: ignore[arg-type]  # one of two literals
        return None
    duration: Duration = getattr(policy, field)
    return duration.ToNanoseconds() / 1e9
