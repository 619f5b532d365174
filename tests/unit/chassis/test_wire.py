"""MeshErrors on the wire, both directions."""

import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from chassis import wire
from chassis.errors import (
    BY_CODE,
    InvalidArgument,
    MeshError,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unknown,
    Violation,
)


def test_all_of_an_error_crosses() -> None:
    """Class, reason, message, metadata, violations and the time to wait arrive."""
    sent = ResourceExhausted(
        "RATE_LIMITED",
        "slowly",
        metadata={"class": "feed"},
        violations=[Violation("items[2].id", "must be positive")],
        retry_after=1.25,
    )

    got = wire.from_status(wire.to_status(sent))

    assert type(got) is ResourceExhausted
    assert vars(got) == vars(sent)


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=lambda kind: kind.status)
def test_class_is_rebuilt(kind: type[MeshError]) -> None:
    """Whatever the status, the same class comes out."""
    got = wire.from_status(wire.to_status(kind("INTERNAL")))

    assert type(got) is kind


def test_details_are_googles() -> None:
    """ErrorInfo in our domain always, BadRequest and RetryInfo where they belong."""
    status = wire.to_status(
        InvalidArgument(
            "VALIDATION_FAILED", violations=[Violation("text", "no")], retry_after=2
        )
    )

    kinds = [detail.TypeName() for detail in status.details]
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)

    assert kinds == [
        "google.rpc.ErrorInfo",
        "google.rpc.RetryInfo",
        "google.rpc.BadRequest",
    ]
    assert (info.domain, info.reason) == ("feedmesh", "VALIDATION_FAILED")


def test_violations_beyond_the_metadata_limit_are_left_out() -> None:
    """Details fit into the trailers that a peer accepts, however much is wrong."""
    error = InvalidArgument(
        "VALIDATION_FAILED",
        "x" * 5000,
        violations=[Violation(f"field_{n}", "é" * 100) for n in range(1000)],
    )

    status = wire.to_status(error)

    assert status.ByteSize() <= wire.MAX_DETAILS_BYTES
    assert wire.from_status(status).violations[0] == ("field_0", "é" * 100)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(14, "DEPENDENCY_UNAVAILABLE"), (12, "METHOD_UNKNOWN"), (2, "INTERNAL")],
)
def test_status_without_details_has_a_reason(code: int, reason: str) -> None:
    """gRPC itself sends no details: the reason follows from the status."""
    assert wire.from_status(status_pb2.Status(code=code)).reason == reason


def test_status_of_another_domain_keeps_its_class() -> None:
    """Another service's reasons are not ours."""
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="HANDLE_TAKEN", domain="other"))

    got = wire.from_status(status_pb2.Status(code=5, details=[packed]))

    assert type(got) is NotFound
    assert got.reason == "INTERNAL"


def test_reason_of_a_newer_peer_keeps_its_class() -> None:
    """A peer of tomorrow may know reasons that we do not."""
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="NEW_ONE", domain="feedmesh"))

    assert type(wire.from_status(status_pb2.Status(code=8, details=[packed]))) is (
        ResourceExhausted
    )


def test_unknown_status_is_unknown() -> None:
    """A number outside the table is not a crash."""
    assert type(wire.from_status(status_pb2.Status(code=99))) is Unknown


def rpc_error(code: StatusCode, details: bytes | None = None) -> AioRpcError:
    trailers = Metadata() if details is None else Metadata((wire.DETAILS_KEY, details))
    return AioRpcError(code, Metadata(), trailers, details="down")


def test_rpc_error_with_details() -> None:
    """The trailer of a call holds the whole error."""
    status = wire.to_status(NotFound("POST_NOT_FOUND", metadata={"id": "7"}))

    got = wire.from_rpc_error(
        rpc_error(StatusCode.NOT_FOUND, status.SerializeToString())
    )

    assert (type(got), got.reason, got.metadata) == (
        NotFound,
        "POST_NOT_FOUND",
        {"id": "7"},
    )


@pytest.mark.parametrize(
    "details",
    [None, b"\xff\xff\xff", status_pb2.Status(code=5).SerializeToString()],
    ids=["none", "garbage", "of another status"],
)
def test_rpc_error_without_details_of_its_own(details: bytes | None) -> None:
    """What cannot be read, or is about something else, leaves the status alone."""
    got = wire.from_rpc_error(rpc_error(StatusCode.UNAVAILABLE, details))

    assert (type(got), got.message) == (Unavailable, "down")
