"""The ordered chain that every request passes: the ASGI callable.

limits, route, token, rate limit, body, binding, the service, the answer. Each step
may refuse by raising; all refusals become answers in one place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import perf_counter

import orjson
import structlog

from chassis import auth, context, deadline
from chassis.errors import (
    Internal,
    InvalidArgument,
    MeshError,
    NotFound,
    Unavailable,
    Unimplemented,
    Violation,
)

from . import conditional, fields, frames, headers, problems
from .binding import Inputs
from .exchange import Exchange, Headers, Limits, Receive, Scope, Send
from .gate import Gate, Guest
from .pages import Page
from .routes import Route, Routes
from .streams import Positions, Streams
from .telemetry import HttpMetrics
from .trie import Match
from .upstreams import Upstreams

log = structlog.get_logger()

# Dot segments, escaped slashes and backslashes, NUL, broken escapes: paths that two
# readers may read in two ways.
TRICKY = re.compile(
    r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)|%2f|%5c|%00|\\|[^!-~]|%(?![0-9a-f]{2})",
    re.IGNORECASE,
)

VARY = (b"vary", b"accept, authorization")


class Edge:
    """Serves the routes of the contract, and the few pages of the gateway itself."""

    def __init__(
        self,
        *,
        routes: Routes,
        upstreams: Upstreams,
        gate: Gate,
        streams: Streams,
        positions: Mapping[str, Positions],
        pages: Mapping[str, Page],
        limits: Limits,
        in_flight: int,
        metrics: HttpMetrics,
    ) -> None:
        """in_flight is how many requests, streams apart, are served at a time."""
        self._trie = routes.trie
        self._upstreams = {
            route.method.path: upstreams.of(route.method) for route in routes.all
        }
        self._gate = gate
        self._streams = streams
        self._positions = positions
        self._pages = pages
        self._limits = limits
        self._metrics = metrics
        self._most = in_flight
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        exchange = Exchange(scope, receive, send)
        started = perf_counter()
        label = await self._answered(exchange)
        self._metrics.observe(
            label, exchange.verb, exchange.status, perf_counter() - started
        )

    async def _answered(self, exchange: Exchange) -> str:
        """Serves the request, whatever happens; the route's label for metrics."""
        served = _Served()
        try:
            request_id = context.enter_request(exchange.header(b"x-request-id"))
            exchange.extra.append((b"x-request-id", request_id.encode()))
            context.enter_trace(exchange.header(b"traceparent"))
            exchange.check(self._limits)
            await self._serve(exchange, served)
        except MeshError as error:
            await _refuse(exchange, error, served.allow)
        except Exception:
            log.exception("request_failed", route=served.label)
            await _refuse(exchange, Internal("INTERNAL", "Something went wrong."), "")
        return served.label

    async def _serve(self, exchange: Exchange, served: _Served) -> None:
        if TRICKY.search(exchange.path):
            raise NotFound("METHOD_UNKNOWN", "There is no route of this path.")
        page = self._pages.get(exchange.path)
        if page is not None:
            served.label = exchange.path
            await self._page(exchange, page, served)
            return
        match = self._routed(exchange, served)
        route = match.value
        served.label = route.label
        guest = self._gate.identify(exchange)
        auth.enter(guest.caller)
        await self._gate.admit(exchange, guest, route)
        context.enter_graph_version(
            exchange.header(context.GRAPH_VERSION_KEY.encode()) or None
        )
        if route.method.server_streaming:
            await self._stream(exchange, route, guest, match)
            return
        if self._in_flight >= self._most:
            raise Unavailable("OVERLOADED", "Too many requests.", retry_after=1.0)
        self._in_flight += 1
        try:
            await self._unary(exchange, route, guest, match)
        finally:
            self._in_flight -= 1

    def _routed(self, exchange: Exchange, served: _Served) -> Match[Route]:
        match = self._trie.match(exchange.verb, exchange.path)
        if isinstance(match, Match):
            return match
        if not match:
            raise NotFound("METHOD_UNKNOWN", "There is no route of this path.")
        get = self._trie.match("GET", exchange.path)
        if isinstance(get, Match) and not get.value.method.server_streaming:
            if exchange.verb == "HEAD":
                return get
            match |= {"HEAD"}
        served.allow = _allow(match)
        raise Unimplemented(
            "HTTP_METHOD_NOT_ALLOWED",
            f"This route takes {served.allow}.",
            metadata={"method": exchange.verb[:20], "allow": served.allow},
        )

    async def _page(self, exchange: Exchange, page: Page, served: _Served) -> None:
        if exchange.verb not in ("GET", "HEAD"):
            served.allow = _allow(frozenset({"GET", "HEAD"}))
            raise Unimplemented(
                "HTTP_METHOD_NOT_ALLOWED", f"This page takes {served.allow}."
            )
        await page(exchange)

    async def _unary(
        self, exchange: Exchange, route: Route, guest: Guest, match: Match[Route]
    ) -> None:
        _check_accept(exchange)
        timeout = _timeout(exchange, route)
        deadline.enter(timeout)
        request = route.binding.bind(await self._inputs(exchange, guest, match))
        wire = await self._upstreams[route.method.path].call(request, timeout)
        await _respond(exchange, route, wire)

    async def _stream(
        self, exchange: Exchange, route: Route, guest: Guest, match: Match[Route]
    ) -> None:
        media = headers.choose(exchange.values(b"accept"), frames.OFFERED)
        if media is None:
            raise _not_acceptable(frames.OFFERED)
        positions = self._positions[route.method.path]
        request = route.binding.bind(await self._inputs(exchange, guest, match))
        last_event_id = exchange.header(b"last-event-id")
        if last_event_id:
            positions.check(request, last_event_id)
            request = positions.resumed(request, last_event_id)
        form = frames.frames(media)
        await self._streams.carry(
            exchange,
            route=route,
            positions=positions,
            upstream=self._upstreams[route.method.path],
            request=request,
            form=form,
            headers=[
                (b"content-type", form.media),
                (b"cache-control", route.cache_control),
                # Proxies that gather answers would hold events back.
                (b"x-accel-buffering", b"no"),
                VARY,
            ],
            max_age=self._gate.left(guest),
            still_allowed=lambda: self._gate.recheck(guest),
        )

    async def _inputs(
        self, exchange: Exchange, guest: Guest, match: Match[Route]
    ) -> Inputs:
        route = match.value
        body = b""
        if exchange.has_body:
            _check_content(exchange, route)
            body = await exchange.body(self._limits)
        key = headers.idempotency_key(exchange.header(b"idempotency-key"))
        return Inputs(
            path=match.fields,
            query=exchange.query,
            body=body,
            user_id=guest.caller.user_id,
            request_id=key,
            etag=_expected_etag(exchange, route),
        )


class _Served:
    """What is known of a request when it is refused."""

    def __init__(self) -> None:
        self.label = "_unknown"
        self.allow = ""


async def _respond(exchange: Exchange, route: Route, wire: bytes) -> None:
    sent: Headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", route.cache_control),
        VARY,
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


async def _refuse(exchange: Exchange, error: MeshError, allow: str) -> None:
    if exchange.started:
        # Too late for a status; the client sees the answer cut short.
        return
    if exchange.verb == "OPTIONS" and allow:
        await exchange.answer(204, [(b"allow", allow.encode())])
        return
    problem = problems.render(
        error,
        request_id=context.request_id(),
        problem=headers.wants_problem(exchange.values(b"accept")),
        if_match=bool(exchange.values(b"if-match")),
        allow=allow,
    )
    if error.is_ours:
        log.warning("request_refused", status=problem.status, reason=error.reason)
    await exchange.answer(problem.status, problem.headers, problem.body)


def _check_accept(exchange: Exchange) -> None:
    accept = exchange.values(b"accept")
    if accept and headers.choose(accept, (headers.JSON,)) is None:
        raise _not_acceptable((headers.JSON,))


def _not_acceptable(offered: tuple[str, ...]) -> InvalidArgument:
    return InvalidArgument(
        "NOT_ACCEPTABLE",
        f"This route answers {', '.join(offered)}.",
        metadata={"offered": ", ".join(offered)},
    )


def _check_content(exchange: Exchange, route: Route) -> None:
    encoding = exchange.header(b"content-encoding").lower()
    if encoding not in ("", "identity"):
        raise InvalidArgument(
            "MEDIA_TYPE_UNSUPPORTED", "Request bodies are taken without encoding only."
        )
    content_type = exchange.header(b"content-type")
    if route.binding.takes_body and not headers.is_json(content_type):
        raise InvalidArgument(
            "MEDIA_TYPE_UNSUPPORTED",
            "The body must be application/json, and Content-Type must say so.",
            metadata={"content_type": content_type[:100]},
        )


def _timeout(exchange: Exchange, route: Route) -> float:
    """Seconds for the call: as asked, at most as the contract allows."""
    asked = headers.timeout(
        exchange.header(b"grpc-timeout"), exchange.header(b"x-request-timeout")
    )
    usual = route.timeout or 1.0
    most = route.max_timeout or usual
    return usual if asked is None else min(asked, most)


def _expected_etag(exchange: Exchange, route: Route) -> str:
    if_match = exchange.header(b"if-match")
    if not if_match or exchange.verb in ("GET", "HEAD"):
        return ""
    if route.binding.etag is None:
        raise InvalidArgument(
            "VALIDATION_FAILED",
            "This route has no versions to match.",
            violations=[Violation("If-Match", "is not taken by this route")],
        )
    return conditional.expected_etag(if_match)


def _allow(verbs: frozenset[str]) -> str:
    return ", ".join(sorted({*verbs, "OPTIONS"}))
