"""The time a call has: what its caller gives it, within what the contract allows."""

from typing import Any

from chassis import deadline
from chassis.interceptors.base import Interceptor, Proceed, ServerCall


class Deadline(Interceptor):
    """Refuses what cannot be met, and holds the remainder for outgoing calls.

    A long-lived stream has no limit of its own, only that of a caller who sets one.
    """

    async def intercept(self, call: ServerCall, proceed: Proceed) -> Any:
        plan = call.plan
        # The types promise a number; it is None when the caller names no deadline.
        given: float | None = call.context.time_remaining()
        if plan is None or plan.is_long_lived:
            deadline.enter(None if given is None else given - deadline.TRIM)
            return await proceed(call)

        allowed = plan.max_deadline or 0.0
        if given is None:
            seconds = plan.deadline or allowed
        else:
            seconds = min(given - deadline.TRIM, allowed)
        if seconds <= 0:
            raise deadline.exceeded()
        # What the task was under before belongs to another call.
        deadline.enter(None)
        async with deadline.limit(seconds):
            return await proceed(call)
