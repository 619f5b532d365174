"""The dead letters of a mesh: in the tables of its rooms, and in the stream.

Whoever gave an event up wrote the letter into the table of its room; svc_ingest has
those of rooms without a database, and those of events that killed their worker. The
stream alone is asked when no database answers.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from prometheus_client import CollectorRegistry

from chassis.bus import Bus, DeadLetter, NatsSettings, open_bus
from chassis.clock import SystemClock
from chassis.dead_letter_desk import ERROR
from chassis.dead_letter_table import DeadLetterTable, Wanted
from chassis.embedded import nats, postgres
from chassis.embedded.engines import Ports
from chassis.errors import FailedPrecondition, InvalidArgument, MeshError, Unavailable
from chassis.postgres import PostgresSettings, open_pool

from .calling import SERVICE
from .connection import Place

ROOMS = ("graph", "ingest", "feed")
STREAM = "dlq"

# A database that does not answer by then is passed over.
_PATIENCE = 2.0


@dataclass(frozen=True)
class Found:
    """A letter, and what it is called: the room of its table and its number there."""

    name: str
    letter: DeadLetter


class Letters:
    """Tables and stream together. Opened by open_letters()."""

    def __init__(
        self, *, tables: Mapping[str, DeadLetterTable], away: list[str], place: Place
    ) -> None:
        self._tables = tables
        self._place = place
        self.away = away
        """Databases that do not answer: their letters are not among those found."""

    @property
    def is_of_stream(self) -> bool:
        """Whether no database answers, and what is found is what the stream has."""
        return not self._tables

    async def find(self, wanted: Wanted) -> list[Found]:
        """The letters asked for, newest first."""
        if self.is_of_stream:
            return await self._in_stream(wanted)
        found: dict[str, Found] = {}
        for room, table in self._tables.items():
            for letter in await table.find(wanted):
                known = found.get(letter.address)
                # Of two the one of the consumer itself: it knows the error.
                if known is None or known.letter.error == ERROR:
                    found[letter.address] = Found(f"{room}-{letter.number}", letter)
        newest = sorted(found.values(), key=lambda one: one.letter.died_at)[::-1]
        return newest[: wanted.limit]

    async def get(self, name: str) -> Found:
        """One letter by its name. Raises NotFound, InvalidArgument, Unavailable."""
        room, _, number = name.rpartition("-")
        if not number.isdecimal() or room not in (*ROOMS, STREAM):
            raise InvalidArgument(
                "VALIDATION_FAILED", f"{name} is no name of a dead letter: feed-12 is"
            )
        if room == STREAM:
            async with self.bus() as bus:
                return Found(name, await bus.dead_letter(int(number)))
        if room not in self._tables:
            raise Unavailable(
                "DEPENDENCY_UNAVAILABLE", f"the database of svc_{room} does not answer"
            )
        return Found(name, await self._tables[room].get(int(number)))

    async def replay(self, found: Sequence[Found]) -> AsyncIterator[Found]:
        """Publishes letters again, one after the other, and notes each in every
        table that has it: what is interrupted in between can be repeated."""
        async with self.bus() as bus:
            for one in found:
                if not one.letter.subject:
                    raise FailedPrecondition(
                        "INTERNAL", f"{one.name} cannot be sent: its event was lost"
                    )
                await bus.replay(one.letter)
                now = SystemClock().now()
                for table in self._tables.values():
                    await table.mark_replayed(one.letter, now)
                yield one

    async def _in_stream(self, wanted: Wanted) -> list[Found]:
        async with self.bus() as bus:
            letters = await bus.dead_letters(_MOST)
        fitting = [one for one in letters if _fits(one, wanted)][: wanted.limit]
        return [Found(f"{STREAM}-{one.number}", one) for one in fitting]

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        """The bus of the mesh, or the outside one that the environment names."""
        url = os.environ.get("FEEDMESH_NATS_URL") or nats.url(
            self._place.layout.engines / "nats",
            port=Ports().shifted(self._place.offset).nats,
        )
        async with open_bus(
            NatsSettings(url=url), name=SERVICE, metrics=CollectorRegistry()
        ) as bus:
            await bus.ping()
            yield bus


# Letters of the stream that are looked through.
_MOST = 1000


@asynccontextmanager
async def open_letters(place: Place) -> AsyncIterator[Letters]:
    """The letters of a mesh, from whatever databases answer."""
    server = os.environ.get("FEEDMESH_POSTGRES_URL") or postgres.url(
        place.layout.engines / "postgres",
        port=Ports().shifted(place.offset).postgres,
    )
    async with AsyncExitStack() as stack:
        tables, away = {}, []
        for room in ROOMS:
            settings = PostgresSettings(
                url=urlunsplit(urlsplit(server)._replace(path=f"/svc_{room}")),
                min_size=0,
                max_size=1,
                start_timeout=_PATIENCE,
                application_name=SERVICE,
            )
            try:
                pool = await stack.enter_async_context(
                    open_pool(settings, metrics=CollectorRegistry())
                )
                await pool.ping()
            except (OSError, asyncpg.PostgresError, MeshError):
                away.append(f"svc_{room}")
            else:
                tables[room] = DeadLetterTable(pool=pool)
        yield Letters(tables=tables, away=away, place=place)


def _fits(letter: DeadLetter, wanted: Wanted) -> bool:
    return (
        wanted.author_id in (None, *letter.author_ids)
        and wanted.reader_id in (None, *letter.reader_ids)
        and (wanted.since is None or letter.died_at >= wanted.since)
        and wanted.event_id in ("", letter.event_id)
    )
