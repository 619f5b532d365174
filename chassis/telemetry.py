"""What a service tells about itself: logs here, metrics and spans by one import.

Logs are JSON lines with the request and trace of the current call. Values under
secret names, and tokens wherever they stand, never reach a line.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, BinaryIO

import orjson
import structlog

from chassis import context
from chassis.metrics import (
    BreakerMetrics,
    Measured,
    MethodMetrics,
    Metrics,
    RpcMetrics,
    measuring,
    registry,
)
from chassis.tracing import (
    client_interceptors,
    configure_tracing,
    server_interceptors,
    trace_id,
)

__all__ = [
    "BreakerMetrics",
    "Measured",
    "MethodMetrics",
    "Metrics",
    "RpcMetrics",
    "client_interceptors",
    "configure_logging",
    "configure_tracing",
    "measuring",
    "registry",
    "server_interceptors",
]

REDACTED = "***"

# Longest text in a line: a log is not a place for bodies.
MAX_TEXT = 2000

_SECRET_NAME = re.compile(
    r"(?i)(passw|secret|token|authorization|cookie|identity|credential|api_?key"
    r"|private_?key|signing_?key)"
)
# Names that look secret and are not.
_PUBLIC_NAMES = frozenset({"token_id", "page_token_ttl", "secrets_dir"})

_SECRET_TEXT = re.compile(
    # A JWT, wherever it stands.
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    # What follows "Bearer".
    r"|(?<=[Bb]earer )[\w.~+/=-]{8,}"
    # The password of an address.
    r"|(?<=://)(?P<user>[^\s:/@]*):[^\s/@]+(?=@)"
)

_LEVELS = logging.getLevelNamesMapping()


def configure_logging(
    service: str, level: str = "info", *, out: BinaryIO | None = None
) -> None:
    """Sends logs to standard output, or to out, as JSON lines; libraries' too."""
    lines = _Lines(out or sys.stdout.buffer)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _whose(service),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level.upper()]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_IntoStructlog()]
    root.setLevel(max(_LEVELS[level.upper()], logging.WARNING))


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Takes secrets out of a log event, at any depth."""
    for name, value in event.items():
        event[name] = _redacted(name, value)
    return event


def _redacted(name: str, value: Any) -> Any:
    if value and _SECRET_NAME.search(name) and name not in _PUBLIC_NAMES:
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_hidden, value)[:MAX_TEXT]
    if isinstance(value, Mapping):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(name, inner) for inner in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, int | float | bool) or value is None:
        return value
    return _redacted(name, str(value))


def _hidden(found: re.Match[str]) -> str:
    user = found.group("user")
    return REDACTED if user is None else f"{user}:{REDACTED}"


def _whose(service: str) -> structlog.typing.Processor:
    """Adds whose line it is and which request and trace it belongs to."""

    def add(
        _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        event["service"] = service
        if request_id := context.request_id():
            event["request_id"] = request_id
        if trace := trace_id():
            event["trace_id"] = trace
        return event

    return add


def _json(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)


class _Lines:
    """Writes lines; a reader that went away fails nobody's call."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def msg(self, line: bytes) -> None:
        """Writes one line at once."""
        with contextlib.suppress(OSError, ValueError):
            self._out.write(line + b"\n")
            self._out.flush()

    debug = info = warning = error = critical = exception = log = msg


class _IntoStructlog(logging.Handler):
    """Takes what libraries log into our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger().bind(logger=record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
