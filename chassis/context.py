"""What a call carries besides its caller and its deadline: ids and freshness.

Set by the server for the length of a call and passed on by every channel.
"""

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextvars import ContextVar

REQUEST_ID_KEY = "x-request-id"
TRACEPARENT_KEY = "traceparent"
GRAPH_VERSION_KEY = "x-feedmesh-graph-version"

MAX_REQUEST_ID = 128
TRACEPARENT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")
_min_graph_version: ContextVar[int] = ContextVar("min_graph_version", default=0)


def request_id() -> str:
    """Id of the request that the current call belongs to; empty outside of one."""
    return _request_id.get()


def traceparent() -> str:
    """W3C trace context of the caller; empty when there is none."""
    return _traceparent.get()


def min_graph_version() -> int:
    """Graph version that reads of this call must not be older than; 0 for any."""
    return _min_graph_version.get()


def enter_request(given: str | None) -> str:
    """Takes over a caller's request id, or makes one; returns it."""
    if (
        given
        and len(given) <= MAX_REQUEST_ID
        and given.isascii()
        and given.isprintable()
    ):
        name = given
    else:
        name = secrets.token_hex(8)
    _request_id.set(name)
    return name


def enter_trace(given: str | None) -> None:
    """Takes over the caller's trace context, if it is one."""
    _traceparent.set(given if given and TRACEPARENT.fullmatch(given) else "")


def enter_graph_version(given: str | None) -> None:
    """Takes over the version a caller asks for; anything but a number asks none."""
    known = given is not None and given.isascii() and given.isdecimal()
    _min_graph_version.set(int(given[:19]) if known and given else 0)


@contextlib.contextmanager
def at_least(graph_version: int) -> Iterator[None]:
    """Asks for a graph version inside the block."""
    token = _min_graph_version.set(graph_version)
    try:
        yield
    finally:
        _min_graph_version.reset(token)
