"""What the gateway serves: one compiled route for each HTTP rule of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration

from feedmesh.options.v1 import options_pb2

from . import fields
from .binding import Binding
from .fields import FieldPath
from .image import HttpRule, Image, ImageError, Method
from .respond import JsonWriter
from .trie import Template, Trie

GRAPH_VERSION = "graph_version"
REPLAYED = "replayed"

READS = frozenset({"GET", "HEAD"})
CONDITIONAL = frozenset(
    {options_pb2.CACHEABILITY_PRIVATE_REVALIDATE, options_pb2.CACHEABILITY_PUBLIC}
)


@dataclass(frozen=True)
class Route:
    """A route with everything decided that does not depend on the request."""

    method: Method
    rule: HttpRule
    template: Template
    binding: Binding
    writer: JsonWriter
    success: int
    """HTTP status of success."""

    rate_class: str
    """Class of rate limit; empty when the method has none."""

    rate_cost: int
    timeout: float | None
    """Seconds for a call that asks for none; None on long-lived streams."""

    max_timeout: float | None
    cache_control: bytes
    conditional: bool
    """Answers carry an ETag, and If-None-Match is heeded."""

    etag: FieldPath | None
    """The etag field of the resource in the answer."""

    has_graph_version: bool
    has_replayed: bool
    response_field: str
    """JSON name of the part that is answered; empty for all of it."""

    @property
    def label(self) -> str:
        """For metrics: the template, never the path."""
        return self.rule.template


@dataclass(frozen=True)
class Routes:
    """All routes, in the order of the contract, and how a path finds its own."""

    all: Sequence[Route]
    trie: Trie[Route]


def build(image: Image) -> Routes:
    """Compiles every rule; ImageError or TemplateError when one cannot be served."""
    trie: Trie[Route] = Trie()
    routes: list[Route] = []
    for method in image.methods:
        for rule in method.rules:
            _servable(method)
            route = _route(image, method, rule)
            trie.add(rule.verb, rule.template, route)
            routes.append(route)
    return Routes(routes, trie)


def _servable(method: Method) -> None:
    audience = method.policy.audience
    if audience in (options_pb2.AUDIENCE_UNSPECIFIED, options_pb2.AUDIENCE_INTERNAL):
        raise ImageError(f"{method.full_name}: its audience forbids a route")
    if method.client_streaming:
        raise ImageError(f"{method.full_name}: a route cannot carry a client stream")


def _route(image: Image, method: Method, rule: HttpRule) -> Route:
    policy = method.policy
    template = Trie[None]().add(rule.verb, rule.template, None)
    output = fields.by_any_name(method.output)
    part = output.get(rule.response_body) if rule.response_body else None
    if rule.response_body and part is None:
        raise ImageError(f"{method.full_name}: {rule.response_body} is not answered")
    timeout = _seconds(policy.deadline) if policy.HasField("deadline") else None
    return Route(
        method=method,
        rule=rule,
        template=template,
        binding=Binding(image=image, method=method, rule=rule, template=template),
        writer=JsonWriter(method.output),
        success=policy.success_status or 200,
        rate_class=getattr(policy.rate, "class"),
        rate_cost=policy.rate.cost or 1,
        timeout=timeout,
        max_timeout=(
            _seconds(policy.max_deadline)
            if policy.HasField("max_deadline")
            else timeout
        ),
        cache_control=_cache_control(policy),
        conditional=rule.verb in READS and policy.cache in CONDITIONAL,
        etag=_etag(method),
        has_graph_version=GRAPH_VERSION in output,
        has_replayed=REPLAYED in output,
        response_field=part.json_name if part is not None else "",
    )


def _etag(method: Method) -> FieldPath | None:
    """The etag of the one resource in the answer, or None."""
    for field in method.output.fields:
        path = fields.resolve(method.output, (field.name, "etag"))
        if path is not None and path[-1].type == FieldDescriptor.TYPE_STRING:
            return path
    return None


def _cache_control(policy: options_pb2.MethodPolicy) -> bytes:
    if policy.cache == options_pb2.CACHEABILITY_PUBLIC:
        return b"public, max-age=%d" % policy.cache_max_age.seconds
    if policy.cache == options_pb2.CACHEABILITY_PRIVATE_REVALIDATE:
        return b"private, no-cache"
    return b"no-store"


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9
