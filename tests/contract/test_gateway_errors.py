"""The table of HTTP statuses: every code, every reason, both forms of the body."""

import json

import grpc
import pytest

from chassis.errors import BY_CODE, REASONS, MeshError, Violation

from gateway_http import problems

# Kept by hand, apart from the table of the gateway (contract.md).
STATUSES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


def rendered(error: MeshError, **how: bool) -> problems.Problem:
    return problems.render(error, request_id="r1", **how)  # type: ignore[arg-type] # flags only


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c.value[0]])
def test_every_code_has_its_status(code: grpc.StatusCode) -> None:
    """All that gRPC can answer but OK."""
    error = BY_CODE[code.value[0]]("INTERNAL")

    assert problems.status_of(error) == STATUSES[code.name]


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_both_forms_of_the_body_say_the_same(reason: str) -> None:
    """Code, reason, text, fields, and when to come back, under every status."""
    for kind in BY_CODE.values():
        check_forms(kind, reason)


def check_forms(kind: type[MeshError], reason: str) -> None:
    error = kind(
        reason,
        "Say why.",
        metadata={"what": "x"},
        violations=[Violation("text", "is too long")],
        retry_after=1.25,
    )
    status, problem = rendered(error), rendered(error, problem=True)
    body, document = json.loads(status.body), json.loads(problem.body)

    assert status.status == problem.status == document["status"]
    assert 400 <= status.status < 600
    info, bad, retry, request = body["details"]
    assert info["reason"] == document["reason"] == reason
    assert info["domain"] == document["domain"] == "feedmesh"
    assert info["metadata"] == document["metadata"] == {"what": "x"}
    assert bad["fieldViolations"] == document["violations"]
    assert retry["retryDelay"] == "1.250s"
    assert request["requestId"] == "r1"
    assert document["instance"].endswith(":r1")
    assert body["code"] == document["code"] == kind.code
    assert body["message"] == document["detail"] == "Say why."
    assert (b"retry-after", b"2") in status.headers


@pytest.mark.parametrize(
    ("reason", "metadata", "status"),
    [
        ("HTTP_METHOD_NOT_ALLOWED", {}, 405),
        ("NOT_ACCEPTABLE", {}, 406),
        ("MEDIA_TYPE_UNSUPPORTED", {}, 415),
        ("REQUEST_TOO_LARGE", {"what": "body"}, 413),
        ("REQUEST_TOO_LARGE", {"what": "uri"}, 414),
        ("REQUEST_TOO_LARGE", {"what": "headers"}, 431),
        ("REQUEST_TOO_LARGE", {"what": "depth"}, 400),
        ("REQUEST_TOO_LARGE", {"what": "nodes"}, 400),
        ("REQUEST_TOO_LARGE", {}, 400),
    ],
)
def test_http_has_words_of_its_own(
    reason: str, metadata: dict[str, str], status: int
) -> None:
    """Where HTTP tells apart what gRPC does not."""
    assert problems.status_of(BY_CODE[3](reason, metadata=metadata)) == status


def test_a_mismatch_is_412_only_under_if_match() -> None:
    """Without the header it is the conflict that gRPC callers see."""
    error = BY_CODE[10]("ETAG_MISMATCH")

    assert problems.status_of(error) == 409
    assert problems.status_of(error, if_match=True) == 412
    assert problems.status_of(BY_CODE[10]("REQUEST_ID_CONFLICT"), if_match=True) == 409


def test_a_challenge_tells_a_bad_token_from_none() -> None:
    """RFC 6750: no error code where no token was shown."""
    for reason, tells in (("TOKEN_INVALID", True), ("TOKEN_MISSING", False)):
        headers = dict(rendered(BY_CODE[16](reason)).headers)
        assert (b"invalid_token" in headers[b"www-authenticate"]) is tells


def test_unavailable_always_says_when_to_come_back() -> None:
    """Also when the service did not."""
    assert (b"retry-after", b"1") in rendered(BY_CODE[14]("OVERLOADED")).headers
