"""The one answer to a request: of a service, or for an error."""

from __future__ import annotations

import orjson
import structlog

from feedmesh.options.v1 import options_pb2

from chassis import context
from chassis.errors import MeshError

from . import conditional, fields, headers, problems
from .exchange import Exchange, Headers
from .routes import Route

log = structlog.get_logger()


def vary(route: Route) -> tuple[bytes, bytes]:
    """What the answer depends on; a public one is the same for everyone."""
    if route.method.policy.cache == options_pb2.CACHEABILITY_PUBLIC:
        return b"vary", b"accept"
    return b"vary", b"accept, authorization"


async def respond(exchange: Exchange, route: Route, wire: bytes) -> None:
    sent: Headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", route.cache_control),
        vary(route),
    ]
    digest = ""
    if route.conditional:
        digest = conditional.digest(wire)
        known = conditional.not_modified(exchange.values(b"if-none-match"), digest)
        if known is not None:
            await exchange.answer(304, [(b"etag", known), *sent[1:]])
            return

    message = route.writer.parse(wire)
    if digest:
        etag = fields.read(message, route.etag) if route.etag else ""
        sent.append((b"etag", conditional.tag(digest, etag)))
    if route.has_graph_version:
        version = getattr(message, "graph_version", 0)
        if version:
            name = context.GRAPH_VERSION_KEY.encode()
            sent.append((name, b"%d" % version))
    if route.has_replayed and getattr(message, "replayed", False):
        sent.append((b"idempotency-replayed", b"true"))
    body = route.writer.write(message)
    if route.response_field:
        body = orjson.dumps(orjson.loads(body).get(route.response_field))
    await exchange.answer(route.success, sent, body)


async def refuse(exchange: Exchange, error: MeshError) -> None:
    if exchange.started:
        # Too late for a status; the client sees the answer cut short.
        return
    if exchange.verb == "OPTIONS" and exchange.allow:
        await exchange.answer(204, [(b"allow", exchange.allow.encode())])
        return
    problem = problems.render(
        error,
        request_id=context.request_id(),
        problem=headers.wants_problem(exchange.values(b"accept")),
        if_match=bool(exchange.values(b"if-match")),
        allow=exchange.allow,
    )
    tell = log.error if error.is_ours else log.info
    tell(
        "request_refused",
        route=exchange.label,
        status=problem.status,
        reason=error.reason,
        detail=error.message,
    )
    await exchange.answer(problem.status, problem.headers, problem.body)
