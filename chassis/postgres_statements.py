"""Statements: the ways to run one, on a pool or in a transaction."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import asyncpg

from chassis.errors import Internal
from chassis.postgres_driver import (
    Connection,
    PostgresSettings,
    drop,
    guarded,
    translate,
)

T = TypeVar("T")
Call: TypeAlias = Callable[[Connection, float], Awaitable[T]]

Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]

BEGIN = {
    "read_committed": "BEGIN",
    "repeatable_read": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "serializable": "BEGIN ISOLATION LEVEL SERIALIZABLE",
}


class Reads(Protocol):
    """What runs statements that change nothing."""

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]: ...
    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None: ...
    async def fetchval(self, sql: str, *args: object) -> Any: ...


class Statements(Reads, Protocol):
    """What runs a statement: a pool, or a transaction of it."""

    async def execute(self, sql: str, *args: object) -> str: ...


class Running:
    """The statements themselves; _run says on which connection."""

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """All rows of one statement."""
        return await self._run(lambda con, limit: con.fetch(sql, *args, timeout=limit))

    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None:
        """The first row; None when there is none."""
        return await self._run(
            lambda con, limit: con.fetchrow(sql, *args, timeout=limit)
        )

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row; what it holds, the statement says."""
        return await self._run(
            lambda con, limit: con.fetchval(sql, *args, timeout=limit)
        )

    async def execute(self, sql: str, *args: object) -> str:
        """The server's command tag: "INSERT 0 3"."""
        return await self._run(
            lambda con, limit: con.execute(sql, *args, timeout=limit)
        )

    async def copy(
        self,
        table: str,
        records: Iterable[Sequence[object]],
        columns: Sequence[str],
    ) -> None:
        """Adds rows by COPY: all of them or none."""
        await self._run(
            lambda con, limit: con.copy_records_to_table(
                table, records=records, columns=columns, timeout=limit
            )
        )

    async def _run(self, call: Call[T]) -> T:
        raise NotImplementedError


class Transaction(Running):
    """Runs statements in one transaction, one after the other."""

    def __init__(self, *, con: Connection, settings: PostgresSettings) -> None:
        self._con = con
        self._limit = settings.command_timeout

    async def _run(self, call: Call[T]) -> T:
        return await guarded(self._con, call, self._limit)

    async def commit(self) -> None:
        """The pool's to call, as is roll_back."""
        # Not bounded by the caller's deadline: half a commit is no answer.
        try:
            tag = await self._con.execute("COMMIT", timeout=self._limit)
        except Exception as error:
            drop(self._con)
            raise translate(error) or error from error
        if tag != "COMMIT":
            # The server rolls back what an error spoilt, and calls that success.
            raise Internal("INTERNAL", "the transaction had failed before its commit")

    async def roll_back(self) -> None:
        try:
            await self._con.execute("ROLLBACK", timeout=self._limit)
        except Exception:  # noqa: BLE001 - closing the connection rolls back as well
            drop(self._con)
