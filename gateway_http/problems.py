"""Errors over HTTP: the only table of statuses, and the two forms of the body.

The body is a google.rpc.Status in JSON, or an RFC 9457 problem document for callers
that accept application/problem+json. Both say the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from chassis.errors import MeshError

DOMAIN = "feedmesh"
TYPES = "type.googleapis.com/google.rpc"

STATUS_JSON = b"application/json"
PROBLEM_JSON = b"application/problem+json"

# Of google.rpc.Code, as grpc-gateway and Envoy have it.
HTTP_STATUS: Mapping[int, int] = {
    1: 499,  # CANCELLED: the client closed the request
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}

# What HTTP has words of its own for, whatever the code.
REASON_STATUS: Mapping[str, int] = {
    "HTTP_METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "MEDIA_TYPE_UNSUPPORTED": 415,
}

# Where a limit of the edge was passed; depth and nodes are plain 400.
LIMIT_STATUS: Mapping[str, int] = {"body": 413, "uri": 414, "headers": 431}

TITLES = {499: "Client Closed Request"}

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, ready to be sent."""

    status: int
    headers: Headers
    body: bytes


def status_of(error: MeshError, *, if_match: bool = False) -> int:
    """The HTTP status of an error; 412 only answers a request with If-Match."""
    if error.reason == "ETAG_MISMATCH" and if_match:
        return HTTPStatus.PRECONDITION_FAILED
    if error.reason == "REQUEST_TOO_LARGE":
        return LIMIT_STATUS.get(error.metadata.get("what", ""), 400)
    return REASON_STATUS.get(error.reason) or HTTP_STATUS.get(error.code, 500)


def render(
    error: MeshError,
    *,
    request_id: str,
    problem: bool = False,
    if_match: bool = False,
    allow: str = "",
) -> Problem:
    """The answer for an error. allow is what a 405 says is allowed."""
    status = status_of(error, if_match=if_match)
    headers: Headers = [
        (b"content-type", PROBLEM_JSON if problem else STATUS_JSON),
        (b"cache-control", b"no-store"),
    ]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", _challenge(error)))
    if error.retry_after is not None:
        # Whole seconds, and never sooner than was said.
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", b"1"))
    if allow:
        headers.append((b"allow", allow.encode()))
    value = (
        _problem(error, status, request_id) if problem else _status(error, request_id)
    )
    return Problem(status, headers, orjson.dumps(value))


def value_of(error: MeshError, request_id: str) -> dict[str, Any]:
    """The google.rpc.Status of an error, as JSON knows it."""
    return _status(error, request_id)


def _status(error: MeshError, request_id: str) -> dict[str, Any]:
    details: list[dict[str, Any]] = [
        {
            "@type": f"{TYPES}.ErrorInfo",
            "reason": error.reason,
            "domain": DOMAIN,
            **({"metadata": error.metadata} if error.metadata else {}),
        }
    ]
    if error.violations:
        details.append(
            {
                "@type": f"{TYPES}.BadRequest",
                "fieldViolations": _violations(error),
            }
        )
    if error.retry_after is not None:
        details.append(
            {
                "@type": f"{TYPES}.RetryInfo",
                "retryDelay": f"{error.retry_after:.3f}s",
            }
        )
    if request_id:
        details.append({"@type": f"{TYPES}.RequestInfo", "requestId": request_id})
    return {"code": error.code, "message": error.message, "details": details}


def _problem(error: MeshError, status: int, request_id: str) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": f"urn:{DOMAIN}:error:{error.reason}",
        "title": error.reason.replace("_", " ").capitalize(),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "reason": error.reason,
        "domain": DOMAIN,
    }
    if request_id:
        value["instance"] = f"urn:{DOMAIN}:request:{request_id}"
    if error.metadata:
        value["metadata"] = error.metadata
    if error.violations:
        value["violations"] = _violations(error)
    if error.retry_after is not None:
        value["retryAfter"] = error.retry_after
    return value


def _violations(error: MeshError) -> list[dict[str, str]]:
    return [
        {"field": violation.field, "description": violation.description}
        for violation in error.violations
    ]


def _challenge(error: MeshError) -> bytes:
    """RFC 6750: an error only where a token was shown."""
    if error.reason == "TOKEN_INVALID":
        return b'Bearer realm="feedmesh", error="invalid_token"'
    return b'Bearer realm="feedmesh"'


def title(status: int) -> str:
    """Reason phrase of a status."""
    return TITLES.get(status) or HTTPStatus(status).phrase
