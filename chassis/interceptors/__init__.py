"""What happens around every call that is served, outermost first."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from chassis.auth import AccessTokens, InternalIdentity
from chassis.interceptors.admission import Admission, AdmissionLimiter
from chassis.interceptors.auth import Auth
from chassis.interceptors.base import Interceptor
from chassis.interceptors.deadline import Deadline
from chassis.interceptors.errors import Errors
from chassis.interceptors.telemetry import Telemetry
from chassis.interceptors.validation import Validation

__all__ = ["chain"]


def chain(
    *,
    registry: CollectorRegistry,
    identity: InternalIdentity,
    tokens: AccessTokens,
    limiter: AdmissionLimiter,
) -> Sequence[Interceptor]:
    """The interceptors of a server, in the one order there is."""
    return (
        Telemetry(registry=registry),
        Errors(),
        Deadline(),
        Admission(limiter=limiter),
        Auth(identity=identity, tokens=tokens),
        Validation(),
    )
