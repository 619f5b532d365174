"""MeshError to status and details, and back: the only place that knows both.

Details are google.rpc's: ErrorInfo always, BadRequest for violations, RetryInfo for
a time to wait. They travel as a google.rpc.Status in one trailing metadata entry.
"""

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc.aio import AioRpcError

from chassis.errors import (
    BY_CODE,
    REASONS,
    MeshError,
    ResourceExhausted,
    Unknown,
    Violation,
)

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "feedmesh"

# Room for the details in the trailers of a call: a peer takes 8 KB of metadata.
MAX_DETAILS_BYTES = 5500

# The message travels twice, once percent-encoded: three bytes for one.
MAX_MESSAGE = 400

# For a status without our details: from gRPC itself, a proxy, or another domain.
DEFAULT_REASONS = {
    1: "CANCELLED",
    3: "VALIDATION_FAILED",
    4: "DEADLINE_EXCEEDED",
    7: "AUDIENCE_DENIED",
    8: "OVERLOADED",
    12: "METHOD_UNKNOWN",
    14: "DEPENDENCY_UNAVAILABLE",
    16: "TOKEN_INVALID",
}

# How gRPC words its refusal of a message above the limit.
TOO_LARGE = "larger than max"


def to_status(error: MeshError) -> status_pb2.Status:
    """The status that says all of the error that a caller may know."""
    status = status_pb2.Status(code=error.code, message=error.message[:MAX_MESSAGE])
    _pack(
        status,
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=DOMAIN, metadata=error.metadata
        ),
    )
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        _pack(status, retry)
    if error.violations:
        _pack_violations(status, error.violations)
    return status


def from_status(status: status_pb2.Status) -> MeshError:
    """The error a status stands for; a known class and reason whatever it holds."""
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for known in (info, request, retry):
            detail.Unpack(known)  # Does nothing when it is of another type.

    ours = info.domain == DOMAIN and info.reason in REASONS
    kind = BY_CODE.get(status.code, Unknown)
    return kind(
        info.reason if ours else DEFAULT_REASONS.get(kind.code, "INTERNAL"),
        status.message,
        metadata=info.metadata if ours else {},
        violations=[
            Violation(violation.field, violation.description)
            for violation in request.field_violations
        ],
        retry_after=(
            retry.retry_delay.ToNanoseconds() / 1e9
            if retry.HasField("retry_delay")
            else None
        ),
    )


def from_rpc_error(error: AioRpcError) -> MeshError:
    """The error that a peer raised, or that gRPC raised in its place."""
    code = error.code().value[0]
    details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    if isinstance(details, bytes):
        status = status_pb2.Status()
        try:
            status.ParseFromString(details)
        except DecodeError:
            status.Clear()
        # Details of another status are not about this failure.
        if status.code == code:
            return from_status(status)
    message = error.details() or ""
    if code == ResourceExhausted.code and TOO_LARGE in message:
        return ResourceExhausted("REQUEST_TOO_LARGE", message)
    return from_status(status_pb2.Status(code=code, message=message))


def _pack(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _pack_violations(
    status: status_pb2.Status, violations: tuple[Violation, ...]
) -> None:
    """Packs as many violations as fit: what is too large is not sent at all."""
    request = error_details_pb2.BadRequest()
    size = status.ByteSize()
    for violation in violations:
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field, description=violation.description
        )
        size += entry.ByteSize() + 4
        if size > MAX_DETAILS_BYTES:
            break
        request.field_violations.append(entry)
    _pack(status, request)
