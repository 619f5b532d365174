"""MeshError: its classes, reasons and texts."""

import grpc
import pytest

from chassis.errors import (
    BY_CODE,
    REASONS,
    Internal,
    InvalidArgument,
    MeshError,
    NotFound,
    Unavailable,
    Violation,
)


def test_one_class_for_each_status() -> None:
    """Every status but OK has its class, under the same name and number."""
    statuses = {code.value[0]: code.name for code in grpc.StatusCode}
    del statuses[0]

    assert {code: kind.status for code, kind in BY_CODE.items()} == statuses
    assert all(kind.code == code for code, kind in BY_CODE.items())


def test_reason_outside_the_contract_is_refused() -> None:
    """A reason that the contract does not name is a mistake of ours, found at once."""
    with pytest.raises(ValueError, match="TEAPOT"):
        NotFound("TEAPOT")
    with pytest.raises(ValueError, match="UNSPECIFIED"):
        NotFound("UNSPECIFIED")


def test_message_follows_from_the_reason() -> None:
    """Without a message the reason speaks for itself."""
    error = NotFound("POST_NOT_FOUND")

    assert error.message == "post not found"
    assert str(error) == "NOT_FOUND/POST_NOT_FOUND: post not found"


def test_facts_are_kept() -> None:
    """What was given is there, and cannot be changed from outside."""
    metadata = {"field": "text"}
    error = InvalidArgument(
        "VALIDATION_FAILED",
        "too long",
        metadata=metadata,
        violations=[Violation("text", "too long")],
        retry_after=1.5,
    )
    metadata["field"] = "other"

    assert error.metadata == {"field": "text"}
    assert error.violations == (("text", "too long"),)
    assert error.retry_after == 1.5


@pytest.mark.parametrize(
    ("error", "is_ours"),
    [
        (Internal("INTERNAL"), True),
        (Unavailable("DEPENDENCY_UNAVAILABLE"), True),
        (Unavailable("OVERLOADED"), False),
        (NotFound("POST_NOT_FOUND"), False),
    ],
    ids=str,
)
def test_whose_fault(error: MeshError, is_ours: bool) -> None:
    """Only what is broken in the mesh is logged as an error."""
    assert error.is_ours is is_ours


def test_reasons_are_those_of_the_contract() -> None:
    """The reasons are written without the prefix of the enum."""
    assert "PAGE_TOKEN_INVALID" in REASONS
    assert not any(reason.startswith("ERROR_REASON") for reason in REASONS)
