"""Migrations: numbered SQL files, applied once, in order, forward only.

The files of the chassis come first, then those of the room. An applied file is
never edited: its checksum is kept, and a change to it stops every later start.
A file whose first line is `-- no-transaction` runs statement by statement, for
CREATE INDEX CONCURRENTLY; all others are one transaction each.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog

from chassis import partitions
from chassis.clock import SystemClock
from chassis.errors import FailedPrecondition
from chassis.postgres import Pool, PostgresSettings, open_pool

log = structlog.get_logger(__name__)

NO_TRANSACTION = "-- no-transaction"

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    owner text NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, number)
)
"""
_APPLIED = "SELECT owner, number, checksum FROM schema_migration"
_RECORD = """
INSERT INTO schema_migration (owner, number, name, checksum) VALUES ($1, $2, $3, $4)
"""
# One database, one migration at a time, whoever starts it.
_LOCK = "SELECT pg_advisory_lock(hashtext('schema_migration'))"
_EXISTS = "SELECT 1 FROM pg_database WHERE datname = $1"


@dataclass(frozen=True)
class Migration:
    """One file."""

    owner: str
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        return not self.sql.startswith(NO_TRANSACTION)


async def migrate(url: str, room: str) -> list[str]:
    """Brings the room's database up to date; answers the files it applied.

    Creates the database when it is missing, and the partitions of now.
    """
    await create_database(url, _database(url))
    con = await asyncpg.connect(url, timeout=10)
    try:
        await con.execute(_LOCK)
        await con.execute(_CREATE_TABLE)
        pending = list(_pending(await con.fetch(_APPLIED), room))
        for migration in pending:
            await _apply(con, migration)
            log.info("migrated", file=f"{migration.owner}/{migration.name}")
    finally:
        await con.close(timeout=10)
    settings = PostgresSettings(url=url, min_size=1, max_size=1, lock_timeout_ms=10000)
    async with open_pool(settings) as pool:
        await partitions.ensure_all(pool, SystemClock().now())
    return [migration.name for migration in pending]


async def create_database(server_url: str, name: str) -> None:
    """Creates the database unless it exists. The URL may name any database."""
    maintenance = urlunsplit(urlsplit(server_url)._replace(path="/postgres"))
    con = await asyncpg.connect(maintenance, timeout=10)
    try:
        if not await con.fetchval(_EXISTS, name):
            quoted = name.replace('"', '""')
            await con.execute(f'CREATE DATABASE "{quoted}"')
    except asyncpg.DuplicateDatabaseError:
        pass
    except asyncpg.UniqueViolationError:
        # Two at once: the other one made it.
        pass
    finally:
        await con.close(timeout=10)


async def verify(pool: Pool, room: str) -> None:
    """Raises FailedPrecondition when the database lacks a file of this version.

    A database that is ahead is fine: this version runs with the next schema.
    """
    try:
        applied = await pool.fetch(_APPLIED)
    except asyncpg.UndefinedTableError:
        applied = []
    missing = [migration.name for migration in _pending(applied, room)]
    if missing:
        raise FailedPrecondition(
            "INTERNAL", f"the database is behind: run meshctl migrate ({missing})"
        )


def load(owner: str) -> list[Migration]:
    """The files of `chassis` or of a room, in order."""
    folder = resources.files(owner) / "migrations"
    found = []
    if folder.is_dir():
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".sql"):
                number = int(file.name.split("_", 1)[0])
                found.append(Migration(owner, number, file.name, file.read_text()))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"migrations of {owner} are not numbered 1, 2, 3…: {numbers}")
    return found


def _pending(applied: list[asyncpg.Record], room: str) -> Iterator[Migration]:
    checksums = {(row["owner"], row["number"]): row["checksum"] for row in applied}
    for migration in load("chassis") + load(room):
        recorded = checksums.get((migration.owner, migration.number))
        if recorded is None:
            yield migration
        elif recorded != migration.checksum:
            raise FailedPrecondition(
                "INTERNAL",
                f"{migration.owner}/{migration.name} was changed after it was applied",
            )


async def _apply(con: "asyncpg.Connection[asyncpg.Record]", item: Migration) -> None:
    record = (item.owner, item.number, item.name, item.checksum)
    if item.in_transaction:
        async with con.transaction():
            await con.execute(item.sql)
            await con.execute(_RECORD, *record)
        return
    for statement in item.sql.split(";\n"):
        if statement.strip():
            await con.execute(statement)
    await con.execute(_RECORD, *record)


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
