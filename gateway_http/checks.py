"""What a request must be, apart from its body: asked of its headers."""

from __future__ import annotations

from chassis.errors import InvalidArgument, Violation

from . import conditional, headers
from .exchange import Exchange
from .routes import Route


def accept(exchange: Exchange) -> None:
    """Refuses callers who do not take JSON."""
    ranges = exchange.values(b"accept")
    if ranges and headers.choose(ranges, (headers.JSON,)) is None:
        raise not_acceptable((headers.JSON,))


def not_acceptable(offered: tuple[str, ...]) -> InvalidArgument:
    return InvalidArgument(
        "NOT_ACCEPTABLE",
        f"This route answers {', '.join(offered)}.",
        metadata={"offered": ", ".join(offered)},
    )


def content(exchange: Exchange, route: Route) -> None:
    """Refuses bodies of another type, or packed."""
    encoding = exchange.header(b"content-encoding").lower()
    if encoding not in ("", "identity"):
        raise InvalidArgument(
            "MEDIA_TYPE_UNSUPPORTED", "Request bodies are taken without encoding only."
        )
    content_type = exchange.header(b"content-type")
    if route.binding.takes_body and not headers.is_json(content_type):
        raise InvalidArgument(
            "MEDIA_TYPE_UNSUPPORTED",
            "The body must be application/json, and Content-Type must say so.",
            metadata={"content_type": content_type[:100]},
        )


def timeout(exchange: Exchange, route: Route) -> float:
    """Seconds for the call: as asked, at most as the contract allows."""
    asked = headers.timeout(
        exchange.header(b"grpc-timeout"), exchange.header(b"x-request-timeout")
    )
    usual = route.timeout or 1.0
    most = route.max_timeout or usual
    return usual if asked is None else min(asked, most)


def expected_etag(exchange: Exchange, route: Route) -> str:
    """What If-Match asks for; refused where no version would be compared."""
    if_match = exchange.header(b"if-match")
    if not if_match or exchange.verb in ("GET", "HEAD"):
        return ""
    if route.binding.etag is None:
        raise InvalidArgument(
            "VALIDATION_FAILED",
            "This route has no versions to match.",
            violations=[Violation("If-Match", "is not taken by this route")],
        )
    return conditional.expected_etag(if_match)


def allow(verbs: frozenset[str]) -> str:
    """The header Allow: what a path takes, and OPTIONS."""
    return ", ".join(sorted({*verbs, "OPTIONS"}))
