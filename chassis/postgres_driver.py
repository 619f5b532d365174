"""asyncpg, tamed: connections that know their age, errors as MeshErrors."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg
import tenacity

from chassis import deadline
from chassis.clock import SystemClock
from chassis.errors import DeadlineExceeded, MeshError, Unavailable

T = TypeVar("T")

# The pool lends a proxy that has every method of a connection, but not its type.
Connection: TypeAlias = Any

_CLOSE_SECONDS = 5.0

# What a server says that is starting, stopping, full, or no longer the primary.
_UNAVAILABLE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)

# Somebody else was in the way; the same statement may pass the next time.
_CONTENDED = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


@dataclass(frozen=True, kw_only=True)
class PostgresSettings:
    """How to reach one database, and what a call may cost there."""

    url: str
    """postgresql://user:password@host:port/database."""

    replica_url: str | None = None
    """Where reads that may be a little old go; the database itself when unset."""

    replica_lag_seconds: float = 5
    """A replica that trails further is not read until it has caught up."""

    replica_check_seconds: float = 1
    """Between two looks at how far the replica is."""

    min_size: int = 2
    """Connections opened at start."""

    max_size: int = 16
    """Most connections of one process."""

    acquire_timeout: float = 0.25
    """Seconds to wait for a free connection; then the call is shed."""

    exhausted_seconds: float = 3
    """When no connection was had for so long, callers fail at once and one tries."""

    exhausted_retry_seconds: float = 1
    """Between two tries of a pool that is exhausted."""

    leak_seconds: float = 60
    """A connection lent for longer is logged, with where it was taken."""

    connect_timeout: float = 3
    """Seconds to open a connection."""

    command_timeout: float = 2
    """Most seconds of one statement, when the caller's deadline leaves as much."""

    statement_timeout_ms: int = 2000
    """After this the server itself gives a statement up."""

    lock_timeout_ms: int = 500
    """Longest wait for a row that somebody else has locked."""

    lifetime: float = 600
    """Seconds after which a connection is replaced, up to half of them earlier."""

    start_timeout: float = 30
    """Seconds to keep trying at start while the server is not there yet."""

    application_name: str = "feedmesh"
    """Name shown in pg_stat_activity."""

    statement_cache_size: int = 256
    """Prepared statements kept per connection. 0 says that a pooler in transaction
    mode is between: nothing is prepared, and roles carry the server's timeouts."""


class UniqueViolation(Exception):
    """A row would have broken a unique constraint; the statement changed nothing."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class _Aging(asyncpg.Connection):
    """A connection that knows when it is to be replaced."""

    __slots__ = ("expires",)
    expires: float


def label_of(url: str) -> str:
    """What metrics call a database: host/database."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path}"


def is_expired(con: Connection) -> bool:
    expires: float = con.expires
    return expires < SystemClock().monotonic()


def drop(con: Connection) -> None:
    """Closes the connection at once; the pool opens another when it needs one."""
    # The proxy of a connection that is closed already refuses every call.
    with contextlib.suppress(asyncpg.InterfaceError):
        con.terminate()


async def guarded(
    con: Connection, call: Callable[[Connection, float], Awaitable[T]], own: float
) -> T:
    """Runs one statement within its own limit and the caller's deadline."""
    limit = deadline.bound(own)
    try:
        return await call(con, limit)
    except (asyncio.CancelledError, TimeoutError) as error:
        # Its reply may still come: nobody else may read it.
        drop(con)
        if isinstance(error, TimeoutError):
            raise DeadlineExceeded("DEADLINE_EXCEEDED") from error
        raise
    except Exception as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


def translate(error: Exception) -> MeshError | UniqueViolation | None:
    """What a driver's error means to a caller; None when it is a fault of ours."""
    match error:
        case asyncpg.UniqueViolationError():
            return UniqueViolation(error.constraint_name or "")
        case asyncpg.QueryCanceledError() | TimeoutError():
            return DeadlineExceeded("DEADLINE_EXCEEDED")
        case _ if isinstance(error, _CONTENDED):
            return Unavailable("OVERLOADED", "the row is busy", retry_after=0.1)
        case _ if isinstance(error, _UNAVAILABLE):
            return unavailable()
        case asyncpg.InterfaceError() | asyncpg.InternalClientError() if (
            "connection" in str(error)
        ):
            return unavailable()
    return None


def unavailable() -> Unavailable:
    return Unavailable(
        "DEPENDENCY_UNAVAILABLE", "the database does not answer", retry_after=1
    )


@asynccontextmanager
async def open_driver_pool(
    url: str, settings: PostgresSettings
) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """asyncpg's own pool; waits for a server that is still starting."""
    pool = await _connected(url, settings)
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def _connected(
    url: str, settings: PostgresSettings
) -> "asyncpg.Pool[asyncpg.Record]":
    async for attempt in tenacity.AsyncRetrying(
        stop=tenacity.stop_after_delay(settings.start_timeout),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2),
        retry=tenacity.retry_if_exception_type(
            (OSError, asyncpg.CannotConnectNowError)
        ),
        reraise=True,
    ):
        with attempt:
            return await asyncpg.create_pool(
                url,
                min_size=settings.min_size,
                max_size=settings.max_size,
                max_inactive_connection_lifetime=0,
                timeout=settings.connect_timeout,
                command_timeout=settings.command_timeout,
                statement_cache_size=settings.statement_cache_size,
                connection_class=_Aging,
                init=lambda con: _set_expiry(con, settings.lifetime),
                reset=_keep_session,
                server_settings=_server_settings(settings),
            )
    raise AssertionError("the last attempt raises")


def _server_settings(settings: PostgresSettings) -> dict[str, str]:
    chosen = {"application_name": settings.application_name}
    if settings.statement_cache_size:
        chosen |= {
            "statement_timeout": str(settings.statement_timeout_ms),
            "lock_timeout": str(settings.lock_timeout_ms),
            "idle_in_transaction_session_timeout": "10000",
            "jit": "off",
        }
    return chosen


async def _set_expiry(con: Connection, lifetime: float) -> None:
    # Spread out, so that they do not all reconnect at once.
    age = lifetime * random.uniform(0.5, 1)
    con.expires = SystemClock().monotonic() + age


async def _keep_session(con: Connection) -> None:
    # asyncpg's own reset costs a round trip per loan, and we change no session.
    del con
