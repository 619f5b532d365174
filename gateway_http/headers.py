"""Request headers with a meaning: what is accepted, until when, under which key."""

from __future__ import annotations

import re

from chassis.errors import DeadlineExceeded, InvalidArgument, Violation

GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)(ms|s)?")
REQUEST_ID = re.compile(r"[!-~]{1,128}")

JSON = "application/json"
PROBLEM = "application/problem+json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"


def accepted(accept: str) -> dict[str, float]:
    """Media ranges of an Accept header and how much each is wanted."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if media:
            ranges[media.lower()] = _quality(parameters)
    return ranges or {"*/*": 1.0}


def choose(accept: str, offered: tuple[str, ...]) -> str | None:
    """What is offered and wanted most; the first on a tie, None when nothing is."""
    ranges = accepted(accept)
    best = max(offered, key=lambda media: _wanted(media, ranges))
    return best if _wanted(best, ranges) > 0 else None


def wants_problem(accept: str) -> bool:
    """Whether errors are to be problem documents: only where they are named."""
    return PROBLEM in accept and accepted(accept).get(PROBLEM, 0) > 0


def is_json(content_type: str) -> bool:
    media, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower()
    return media.strip().lower() == JSON and charset in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    )


def timeout(grpc_timeout: str, request_timeout: str) -> float | None:
    """Seconds that the caller gives, the less of the two; None when it gives none.

    DeadlineExceeded when they are over already.
    """
    given: list[float] = []
    if grpc_timeout:
        found = GRPC_TIMEOUT.fullmatch(grpc_timeout)
        if found is None:
            raise _refused("Grpc-Timeout", "must be up to 8 digits and one of HMSmun")
        given.append(int(found[1]) * UNITS[found[2]])
    if request_timeout:
        found = SECONDS.fullmatch(request_timeout)
        if found is None:
            raise _refused("X-Request-Timeout", "must be seconds, such as 1.5")
        given.append(float(found[1]) * (1e-3 if found[2] == "ms" else 1.0))
    if not given:
        return None
    if min(given) <= 0:
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "The deadline is over already.")
    return min(given)


def idempotency_key(value: str) -> str:
    if value and not REQUEST_ID.fullmatch(value):
        raise _refused("Idempotency-Key", "must be 1 to 128 visible ASCII characters")
    return value


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _wanted(media: str, ranges: dict[str, float]) -> float:
    """The most specific range decides."""
    family = media.partition("/")[0]
    for candidate in (media, f"{family}/*", "*/*"):
        if candidate in ranges:
            return ranges[candidate]
    return 0.0


def _refused(header: str, why: str) -> InvalidArgument:
    return InvalidArgument(
        "VALIDATION_FAILED",
        f"{header} {why}.",
        violations=[Violation(header, why)],
    )
