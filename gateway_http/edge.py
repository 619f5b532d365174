"""The ordered chain that every request passes: the ASGI callable.

limits, route, token, rate limit, body, binding, the service, the answer. Each step
may refuse by raising; all refusals become answers in one place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import perf_counter

import structlog

from chassis import auth, context, deadline
from chassis.errors import (
    Internal,
    MeshError,
    NotFound,
    Unavailable,
    Unimplemented,
)

from . import answers, checks, frames, headers
from .binding import Inputs
from .exchange import Exchange, Limits, Receive, Scope, Send
from .gate import Gate, Guest
from .pages import Page
from .positions import Positions
from .routes import Route, Routes
from .streams import Streams
from .telemetry import HttpMetrics, Spans
from .trie import Match
from .upstreams import Upstreams

log = structlog.get_logger()

# Dot segments, escaped slashes and backslashes, NUL, broken escapes: paths that two
# readers may read in two ways.
TRICKY = re.compile(
    r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)|%2f|%5c|%00|\\|[^!-~]|%(?![0-9a-f]{2})",
    re.IGNORECASE,
)


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
        spans: Spans,
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
        self._spans = spans
        self._most = in_flight
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        exchange = Exchange(scope, receive, send)
        started = perf_counter()
        with self._spans.of(exchange):
            await self._answered(exchange)
        self._metrics.observe(
            exchange.label, exchange.verb, exchange.status, perf_counter() - started
        )

    async def _answered(self, exchange: Exchange) -> None:
        """Serves the request, whatever happens."""
        try:
            request_id = context.enter_request(exchange.header(b"x-request-id"))
            exchange.extra.append((b"x-request-id", request_id.encode()))
            if not self._spans.are_made:
                # Passed on as it is; a span of ours would take its place.
                context.enter_trace(exchange.header(b"traceparent"))
            exchange.check(self._limits)
            await self._serve(exchange)
        except MeshError as refusal:
            await answers.refuse(exchange, refusal)
        except Exception:
            log.exception("request_failed", route=exchange.label)
            await answers.refuse(
                exchange, Internal("INTERNAL", "Something went wrong.")
            )

    async def _serve(self, exchange: Exchange) -> None:
        if TRICKY.search(exchange.path):
            raise NotFound("METHOD_UNKNOWN", "There is no route of this path.")
        page = self._pages.get(exchange.path)
        if page is not None:
            exchange.label = exchange.path
            await self._page(exchange, page)
            return
        match = self._routed(exchange)
        route = match.value
        exchange.label = route.label
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

    def _routed(self, exchange: Exchange) -> Match[Route]:
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
        exchange.allow = checks.allow(match)
        raise Unimplemented(
            "HTTP_METHOD_NOT_ALLOWED",
            f"This route takes {exchange.allow}.",
            metadata={"method": exchange.verb[:20], "allow": exchange.allow},
        )

    async def _page(self, exchange: Exchange, page: Page) -> None:
        if exchange.verb not in ("GET", "HEAD"):
            exchange.allow = checks.allow(frozenset({"GET", "HEAD"}))
            raise Unimplemented(
                "HTTP_METHOD_NOT_ALLOWED", f"This page takes {exchange.allow}."
            )
        await page(exchange)

    async def _unary(
        self, exchange: Exchange, route: Route, guest: Guest, match: Match[Route]
    ) -> None:
        checks.accept(exchange)
        timeout = checks.timeout(exchange, route)
        request = route.binding.bind(await self._inputs(exchange, guest, match))
        # From here on: a body that comes slowly has limits of its own.
        deadline.enter(timeout)
        wire = await self._upstreams[route.method.path].call(request, timeout)
        await answers.respond(exchange, route, wire)

    async def _stream(
        self, exchange: Exchange, route: Route, guest: Guest, match: Match[Route]
    ) -> None:
        media = headers.choose(exchange.values(b"accept"), frames.OFFERED)
        if media is None:
            raise checks.not_acceptable(frames.OFFERED)
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
                answers.vary(route),
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
            checks.content(exchange, route)
            body = await exchange.body(self._limits)
        key = headers.idempotency_key(exchange.header(b"idempotency-key"))
        return Inputs(
            path=match.fields,
            query=exchange.query,
            body=body,
            user_id=guest.caller.user_id,
            request_id=key,
            etag=checks.expected_etag(exchange, route),
        )
