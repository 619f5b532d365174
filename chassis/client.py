"""Calls to other services: a channel on which every call is fit to leave.

Each call has a deadline, shows who is calling, carries the ids of its request, and
fails with the same class of error that the peer raised.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from chassis import auth, context, deadline, policy, telemetry
from chassis.call import Call
from chassis.carriers import plain

# For methods outside the contract, such as those of health.
DEFAULT_DEADLINE = 5.0

Pairs = list[tuple[str, str | bytes]]


@dataclass(frozen=True, kw_only=True)
class ChannelSettings:
    """How to reach a service and as whom."""

    target: str
    """host:port, or several, comma-separated, called in turn while healthy."""

    package: str = policy.PACKAGE
    """Prefix of the services behind the target; their timeouts are configured."""

    service: str = ""
    """Our own name, shown to the peer."""

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Keys of the internal identity; without any, calls carry none."""

    as_caller: bool = False
    """Pass on the caller's own role (the edge) instead of calling as a service."""

    token: str = field(default="", repr=False)
    """Access token shown with every call: for clients outside the mesh."""

    ceiling: float | None = None
    """Most seconds for any call but long-lived streams."""


@contextlib.asynccontextmanager
async def open_channel(
    settings: ChannelSettings, *, metrics: CollectorRegistry | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel for stubs, closed on leaving. Connects when first used.

    Its calls are counted in the registry given, else in that of the App being
    assembled.
    """
    spans = telemetry.client_interceptors()
    async with plain.open_plain(
        settings.target,
        services=policy.services(settings.package),
        interceptors=spans,
    ) as channel:
        yield MeshChannel(
            channel,
            settings,
            telemetry.RpcMetrics(metrics, side="client"),
            makes_spans=bool(spans),
        )


class MeshChannel(grpc.aio.Channel):
    """A channel whose calls carry deadline, identity and ids, and raise MeshErrors."""

    def __init__(
        self,
        carrier: grpc.aio.Channel,
        settings: ChannelSettings,
        metrics: telemetry.RpcMetrics,
        *,
        makes_spans: bool,
    ) -> None:
        self._carrier = carrier
        self._settings = settings
        self._metrics = metrics
        self._makes_spans = makes_spans
        self._identity = auth.InternalIdentity(settings.keys) if settings.keys else None

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._callable(
            method, self._carrier.unary_unary(method, *args, **kwargs)
        )

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._callable(
            method, self._carrier.unary_stream(method, *args, **kwargs)
        )

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._callable(
            method, self._carrier.stream_unary(method, *args, **kwargs)
        )

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._callable(
            method, self._carrier.stream_stream(method, *args, **kwargs)
        )

    async def close(self, grace: float | None = None) -> None:
        await self._carrier.close(grace)

    async def __aenter__(self) -> "MeshChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._carrier.get_state(try_to_connect)

    async def wait_for_state_change(
        self, last_observed_state: grpc.ChannelConnectivity
    ) -> None:
        await self._carrier.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._carrier.channel_ready()

    def _callable(self, path: str, inner: Callable[..., Any]) -> Callable[..., Call]:
        plan = policy.methods().get(path)
        measure = self._metrics.of(path)

        def call(
            request: Any = None,  # a message, ready bytes, or an iterator of them
            *,
            timeout: float | None = None,
            metadata: Iterable[tuple[str, str | bytes]] | None = None,
            **kwargs: Any,
        ) -> Call:
            outgoing = inner(
                request,
                timeout=_budget(plan, timeout, self._settings.ceiling),
                metadata=self._metadata(metadata),
                **kwargs,
            )
            return Call(outgoing, measure.begin())

        return call

    def _metadata(
        self, given: Iterable[tuple[str, str | bytes]] | None
    ) -> tuple[tuple[str, str | bytes], ...]:
        """The metadata of a call; what the caller names is not said twice."""
        pairs: Pairs = list(given or ())
        named = {name for name, _ in pairs}
        if not named & {auth.IDENTITY_KEY, "authorization"}:
            pairs.extend(self._who())
        ids = (
            (context.REQUEST_ID_KEY, context.request_id()),
            (context.GRAPH_VERSION_KEY, str(context.min_graph_version() or "")),
            # A span of our own passes its context on by itself.
            (
                context.TRACEPARENT_KEY,
                "" if self._makes_spans else context.traceparent(),
            ),
        )
        pairs.extend(
            (name, value) for name, value in ids if value and name not in named
        )
        return tuple(pairs)

    def _who(self) -> Iterable[tuple[str, str]]:
        if self._settings.token:
            yield "authorization", f"Bearer {self._settings.token}"
        elif self._identity is not None:
            yield auth.IDENTITY_KEY, self._identity.sign(self._shown())

    def _shown(self) -> auth.Caller:
        who = auth.caller()
        if self._settings.as_caller:
            return replace(who, service=who.service or self._settings.service)
        return replace(who, role=auth.Role.INTERNAL, service=self._settings.service)


def _budget(
    plan: policy.MethodPlan | None, wanted: float | None, ceiling: float | None
) -> float | None:
    """Seconds for a call: the least of what is wanted, allowed and left.

    Only a long-lived stream may be without. DeadlineExceeded when nothing is left.
    """
    if plan is None:
        allowed, usual = wanted or DEFAULT_DEADLINE, DEFAULT_DEADLINE
    elif plan.deadline is None or plan.max_deadline is None:
        return wanted
    else:
        allowed, usual = plan.max_deadline, plan.deadline
    own = min(wanted or usual, allowed, ceiling or allowed)
    left = deadline.remaining()
    if left is None:
        return own
    if left <= deadline.TRIM:
        raise deadline.exceeded()
    return min(own, left - deadline.TRIM)
