"""How things fail: one root, one class for each status, reasons of the contract.

An error says which status it stands for and makes no gRPC call itself: the error
interceptor puts it on the wire, the client channel raises the same class again.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

from feedmesh.types.v1 import types_pb2

REASON_PREFIX = "ERROR_REASON_"

# The reasons of the contract, without the prefix of the enum.
REASONS = frozenset(
    name.removeprefix(REASON_PREFIX)
    for name, number in types_pb2.ErrorReason.items()
    if number != types_pb2.ERROR_REASON_UNSPECIFIED
)


class Violation(NamedTuple):
    """One field of a request that breaks its rule. The path is in proto names."""

    field: str
    description: str


class MeshError(Exception):
    """A failure with a status, a reason of the contract and what a caller may know.

    The message reaches callers: it holds no secret and no internal detail.
    """

    code: ClassVar[int] = 2
    """The number of the gRPC status."""

    status: ClassVar[str] = "UNKNOWN"
    """The name of the gRPC status."""

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        if reason not in REASONS:
            raise ValueError(f"{reason} is not an ErrorReason of the contract")
        self.reason = reason
        self.message = message or reason.lower().replace("_", " ")
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.status}/{self.reason}: {self.message}"

    @property
    def is_ours(self) -> bool:
        """Whether something is broken in the mesh: not a caller's mistake, not load."""
        return self.code in OUR_FAULT and self.reason != "OVERLOADED"


class Cancelled(MeshError):
    """The caller went away."""

    code, status = 1, "CANCELLED"


class Unknown(MeshError):
    """Something failed and nobody said what; we never send it ourselves."""

    code, status = 2, "UNKNOWN"


class InvalidArgument(MeshError):
    """The request is wrong whatever the state of the mesh."""

    code, status = 3, "INVALID_ARGUMENT"


class DeadlineExceeded(MeshError):
    """The time is up, or too short to begin."""

    code, status = 4, "DEADLINE_EXCEEDED"


class NotFound(MeshError):
    """There is no such thing, or none that the caller may see."""

    code, status = 5, "NOT_FOUND"


class AlreadyExists(MeshError):
    """The thing to be made is there."""

    code, status = 6, "ALREADY_EXISTS"


class PermissionDenied(MeshError):
    """The caller is known and may not do this."""

    code, status = 7, "PERMISSION_DENIED"


class ResourceExhausted(MeshError):
    """A limit is reached; retry_after says when to come back."""

    code, status = 8, "RESOURCE_EXHAUSTED"


class FailedPrecondition(MeshError):
    """The state does not allow it, and a retry alone will not help."""

    code, status = 9, "FAILED_PRECONDITION"


class Aborted(MeshError):
    """A conflict with another change: read again, then try again."""

    code, status = 10, "ABORTED"


class OutOfRange(MeshError):
    """Past the end of what there is."""

    code, status = 11, "OUT_OF_RANGE"


class Unimplemented(MeshError):
    """There is no such method."""

    code, status = 12, "UNIMPLEMENTED"


class Internal(MeshError):
    """A fault of ours."""

    code, status = 13, "INTERNAL"


class Unavailable(MeshError):
    """Something needed does not answer now; a later try may succeed."""

    code, status = 14, "UNAVAILABLE"


class DataLoss(MeshError):
    """Data is gone or damaged beyond repair."""

    code, status = 15, "DATA_LOSS"


class Unauthenticated(MeshError):
    """Who is calling is not known."""

    code, status = 16, "UNAUTHENTICATED"


BY_CODE: dict[int, type[MeshError]] = {
    kind.code: kind for kind in MeshError.__subclasses__()
}

OUR_FAULT = frozenset(kind.code for kind in (Unknown, Internal, Unavailable, DataLoss))
