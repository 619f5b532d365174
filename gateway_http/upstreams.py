"""The services behind the gateway: raw bytes over the channels of the chassis.

The only place that retries: once, after UNAVAILABLE, methods whose policy allows it,
and only as long as most calls to that service succeed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from grpc.aio import Channel

from chassis import deadline
from chassis.errors import MeshError, Unavailable, Violation

from . import fields
from .image import Method

# As gRPC's retryThrottling has it.
TOKENS = 100.0
TOKEN_RATIO = 0.1
BACKOFF = (0.02, 0.2)


class RetryBudget:
    """Tokens that failures take and successes give back; half must be there."""

    def __init__(self) -> None:
        self._tokens = TOKENS

    def succeeded(self) -> None:
        self._tokens = min(TOKENS, self._tokens + TOKEN_RATIO)

    def failed(self) -> None:
        self._tokens = max(0.0, self._tokens - 1)

    @property
    def allows(self) -> bool:
        return self._tokens > TOKENS / 2


class Upstream:
    """One method of one service, ready to be called with bytes."""

    def __init__(
        self, *, method: Method, channel: Channel, budget: RetryBudget
    ) -> None:
        open_call = (
            channel.unary_stream if method.server_streaming else channel.unary_unary
        )
        # Without serialisers the channel passes bytes as they are.
        self._call: Any = open_call(method.path)
        self._retryable = method.policy.retryable
        self._budget = budget

    async def call(self, request: bytes, timeout: float) -> bytes:
        """The answer's bytes, or the error of the service.

        timeout is what the caller asked for; what remains of the call cuts it.
        """
        try:
            return await self._attempt(request, timeout)
        except Unavailable as first:
            if not self._may_retry(first):
                raise
            backoff = random.uniform(*BACKOFF)
            left = deadline.remaining()
            if left is not None and left <= backoff:
                raise
            await asyncio.sleep(backoff)
            return await self._attempt(request, timeout)

    def stream(self, request: bytes) -> Any:
        """A server stream of bytes: iterate over it, cancel it."""
        return self._call(request)

    def _may_retry(self, error: Unavailable) -> bool:
        # A service that says when to come back is answered by waiting, not by asking.
        return self._retryable and error.retry_after is None and self._budget.allows

    async def _attempt(self, request: bytes, timeout: float) -> bytes:
        try:
            answer: bytes = await self._call(request, timeout=timeout)
        except MeshError as error:
            if isinstance(error, Unavailable):
                self._budget.failed()
            in_json_names(error)
            raise
        self._budget.succeeded()
        return answer


def in_json_names(error: MeshError) -> None:
    """Services name fields as the contract does; callers over HTTP as JSON does."""
    error.violations = tuple(
        Violation(fields.json_name(field), description)
        for field, description in error.violations
    )


class Upstreams:
    """Every method's upstream, by the room that owns it."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self.channels = channels
        self._budgets = {room: RetryBudget() for room in channels}

    def of(self, method: Method) -> Upstream:
        """KeyError when no channel leads to the method's room."""
        return Upstream(
            method=method,
            channel=self.channels[method.room],
            budget=self._budgets[method.room],
        )
