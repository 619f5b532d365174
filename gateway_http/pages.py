"""The gateway's own pages: liveness, readiness, the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from . import conditional
from .exchange import Exchange
from .health import SERVING, UpstreamHealth

Page = Callable[[Exchange], Awaitable[None]]


class Health:
    """/livez says that the loop turns; /readyz that calls can be served.

    Ready means: not draining, the marker file is there (where one is asked for), and
    at least one upstream serves. One upstream less is no reason to take the others'
    routes away; ?verbose shows each.
    """

    def __init__(
        self,
        *,
        upstreams: UpstreamHealth,
        draining: asyncio.Event,
        ready_file: Path | None,
    ) -> None:
        self._upstreams = upstreams
        self._draining = draining
        self._ready_file = ready_file

    async def live(self, exchange: Exchange) -> None:
        await _json(exchange, 200, {"status": "ok"})

    async def ready(self, exchange: Exchange) -> None:
        checks = await self.checks()
        upstreams = checks["upstreams"].values()
        marks = [checks["draining"] is False, checks.get("started", True)]
        is_ready = all(marks) and SERVING in upstreams
        answer: dict[str, Any] = {"status": "ready" if is_ready else "not ready"}
        if b"verbose" in exchange.query:
            answer["checks"] = checks
        await _json(exchange, 200 if is_ready else 503, answer)

    async def checks(self) -> dict[str, Any]:
        checks: dict[str, Any] = {"draining": self._draining.is_set()}
        if self._ready_file is not None:
            checks["started"] = await asyncio.to_thread(self._ready_file.exists)
        checks["upstreams"] = dict(await self._upstreams.states())
        return checks


class Document:
    """A JSON document that changes with the build only."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._body = orjson.dumps(value)
        self._digest = conditional.digest(self._body)

    async def __call__(self, exchange: Exchange) -> None:
        headers = [
            (b"etag", conditional.tag(self._digest)),
            (b"cache-control", b"public, max-age=300"),
        ]
        asked = exchange.values(b"if-none-match")
        if conditional.not_modified(asked, self._digest) is not None:
            await exchange.answer(304, headers)
            return
        headers.append((b"content-type", b"application/json"))
        await exchange.answer(200, headers, self._body)


async def _json(exchange: Exchange, status: int, value: Mapping[str, Any]) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
    ]
    await exchange.answer(status, headers, orjson.dumps(value))
