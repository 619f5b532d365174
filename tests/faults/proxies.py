"""A fault proxy on every connection of the mesh: service to engine, service to service.

Each service is told the addresses of proxies by its own settings, which win over those
that the whole mesh is given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from chassis.testing import FaultProxy, fault_proxy

ENGINES: Mapping[str, tuple[str, ...]] = {
    "postgres": ("graph", "ingest", "feed"),
    "valkey": ("graph", "ingest", "feed", "push", "gateway"),
    "nats": ("graph", "ingest", "feed", "push"),
}
CALLS: Mapping[str, tuple[str, ...]] = {
    "gateway": ("graph", "ingest", "feed", "push"),
    "feed": ("graph", "ingest", "rank"),
    "ingest": ("graph",),
    "push": ("graph", "ingest"),
}
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Proxies:
    """The proxies by who calls and who is called; one for each process called."""

    between: Mapping[tuple[str, str], tuple[FaultProxy, ...]]
    engine_urls: Mapping[str, str]

    def to(self, callee: str, *callers: str) -> list[FaultProxy]:
        """Those before an engine or a service, of these callers or of all."""
        return [
            proxy
            for (caller, called), proxies in self.between.items()
            if called == callee and (not callers or caller in callers)
            for proxy in proxies
        ]

    def environment(self) -> dict[str, str]:
        """Settings that lead every service through its own proxies."""
        settings = {}
        for (caller, callee), proxies in self.between.items():
            own = f"FEEDMESH_{caller.upper()}"
            if callee in ENGINES:
                url = moved(self.engine_urls[callee], proxies[0].port)
                settings[f"{own}_{callee.upper()}_URL"] = url
            else:
                settings[f"{own}_TARGET_{callee.upper()}"] = ",".join(
                    f"{HOST}:{proxy.port}" for proxy in proxies
                )
        return settings


@asynccontextmanager
async def open_proxies(
    engine_urls: Mapping[str, str], targets: Mapping[str, str]
) -> AsyncIterator[Proxies]:
    """Proxies before the engines, and before all processes of the targets ("feed":
    "127.0.0.1:50053,…")."""
    between: dict[tuple[str, str], tuple[FaultProxy, ...]] = {}
    async with AsyncExitStack() as stack:

        async def proxy(port: int) -> FaultProxy:
            return await stack.enter_async_context(fault_proxy(HOST, port))

        for engine, callers in ENGINES.items():
            port = urlsplit(engine_urls[engine]).port
            assert port is not None
            for caller in callers:
                between[caller, engine] = (await proxy(port),)
        for caller, callees in CALLS.items():
            for callee in callees:
                ports = [
                    int(at.rpartition(":")[2]) for at in targets[callee].split(",")
                ]
                between[caller, callee] = tuple([await proxy(p) for p in ports])
        yield Proxies(between=between, engine_urls=engine_urls)


def moved(url: str, port: int) -> str:
    """The same URL with another port on this machine."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{HOST}:{port}"))
