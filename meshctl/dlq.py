"""`meshctl dlq`: events that no consumer could handle, shown and sent again."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.table import Table

from feedmesh.graph.v1 import user_pb2

from chassis import event_types
from chassis.clock import SystemClock
from chassis.dead_letter_table import Wanted
from chassis.dead_letters import DeadLetter

from . import console
from .connection import Place, connect_as_service
from .console import complain, say
from .explained import explained
from .layout import DATA, DataOption, Layout, OffsetOption
from .letters import Found, Letters, open_letters

app = typer.Typer(
    no_args_is_help=True,
    help="Look into the dead letters: events that failed eight times, could not be"
    " read, or killed their worker each time. They are kept for 30 days, in the"
    " database of the room that gave them up and in the stream DLQ."
    "\n\n"
    "Usual course: `dlq list` says what failed and why, `dlq show feed-12` shows one"
    " whole; when the cause is mended, `dlq replay feed-12`, or `dlq replay --since"
    " 2h` for all that died since then and were not sent again yet.",
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

NameArgument = Annotated[
    str, typer.Argument(help="Name of the dead letter, from `dlq list`: feed-12.")
]
AuthorOption = Annotated[
    str, typer.Option("--author", help="Only events of this author: id or handle.")
]
ReaderOption = Annotated[
    str, typer.Option("--reader", help="Only events of this reader: id or handle.")
]
SinceOption = Annotated[
    str,
    typer.Option(
        "--since", help="Only those that died since: 30m, 2h, 7d or 2026-03-01T12:00."
    ),
]
EventOption = Annotated[str, typer.Option("--event", help="Only this event id.")]


@dataclass(frozen=True)
class Filter:
    """What a command was asked for, as it was typed."""

    author: str = ""
    reader: str = ""
    since: str = ""
    event: str = ""

    def __bool__(self) -> bool:
        return any((self.author, self.reader, self.since, self.event))


@app.command("list")
def list_(
    author: AuthorOption = "",
    reader: ReaderOption = "",
    since: SinceOption = "",
    event: EventOption = "",
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Without those that were sent again.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """List the newest dead letters."""
    place = Place(Layout(data.absolute()), port_offset)
    asked = Filter(author, reader, since, event)
    with explained():
        found = asyncio.run(_list(asked, place, limit=limit, waiting=waiting))
    if not found:
        say("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("name", "when", "consumer", "subject", "tries", "sent", "error"):
        table.add_column(name)
    for one in found:
        letter = one.letter
        table.add_row(
            *(one.name, _brief(letter.died_at), letter.durable, letter.subject),
            *(str(letter.attempts), _brief(letter.replayed_at)),
            f"{letter.error}: {letter.message}",
        )
    console.show(table)


@app.command()
def show(
    name: NameArgument, data: DataOption = DATA, port_offset: OffsetOption = 0
) -> None:
    """Show one dead letter whole: its error, its trace, the event."""
    with explained():
        found = asyncio.run(_show(name, Place(Layout(data.absolute()), port_offset)))
    letter = found.letter
    facts = {
        "name": found.name,
        "consumer": letter.durable,
        "subject": letter.subject,
        "event": letter.event_id,
        "sequence": f"{letter.sequence}, stored {letter.stored_at.isoformat()}",
        "authors": " ".join(map(str, letter.author_ids)),
        "readers": " ".join(map(str, letter.reader_ids)),
        "tries": letter.attempts,
        "died": letter.died_at.isoformat(),
        "sent again": letter.replayed_at.isoformat() if letter.replayed_at else "no",
        "error": f"{letter.error}: {letter.message}",
        "trace": letter.trace,
        "request": letter.request_id,
    }
    for label, fact in facts.items():
        say(f"{label:<12}{fact}")
    say(_event(letter))


@app.command()
def replay(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of dead letters: feed-12.")
    ] = None,
    author: AuthorOption = "",
    reader: ReaderOption = "",
    since: SinceOption = "",
    event: EventOption = "",
    again: Annotated[
        bool,
        typer.Option("--again", help="With a filter: those sent again before, too."),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, help="With a filter: how many at most.")
    ] = 1000,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Publish dead letters again, with the event ids they had.

    By name, or all that a filter finds and that were not sent yet, the oldest first.
    Every consumer of the subject gets them; those that had handled them notice, so
    that it is safe to repeat. One that fails again is a new dead letter.
    """
    asked = Filter(author, reader, since, event)
    if bool(names) == bool(asked):
        complain("say which: names of dead letters, or one of the filters")
        raise typer.Exit(2)
    place = Place(Layout(data.absolute()), port_offset)
    with explained():
        count = asyncio.run(
            _replay(names or [], asked, place, limit=limit, again=again)
        )
    if not count:
        say("no dead letters")


async def _list(
    asked: Filter, place: Place, *, limit: int, waiting: bool
) -> list[Found]:
    wanted = await _wanted(asked, place, limit=limit, only_waiting=waiting)
    async with open_letters(place) as letters:
        _warn(letters)
        return await letters.find(wanted)


async def _show(name: str, place: Place) -> Found:
    async with open_letters(place) as letters:
        return await letters.get(name)


async def _replay(
    names: list[str], asked: Filter, place: Place, *, limit: int, again: bool
) -> int:
    wanted = await _wanted(asked, place, limit=limit, only_waiting=not again)
    async with open_letters(place) as letters:
        if names:
            found = [await letters.get(name) for name in names]
        else:
            _warn(letters)
            found = (await letters.find(wanted))[::-1]
        async for one in letters.replay(found):
            say(f"{one.name} sent again on {one.letter.subject}")
    return len(found)


def _warn(letters: Letters) -> None:
    if letters.is_of_stream:
        complain("no database answers: this is what the stream has")
    elif letters.away:
        complain(f"not answering, so without its letters: {', '.join(letters.away)}")


async def _wanted(
    asked: Filter, place: Place, *, limit: int, only_waiting: bool
) -> Wanted:
    return Wanted(
        author_id=await _person(asked.author, place),
        reader_id=await _person(asked.reader, place),
        since=since_of(asked.since, SystemClock().now()),
        event_id=asked.event,
        only_waiting=only_waiting,
        limit=limit,
    )


async def _person(said: str, place: Place) -> int | None:
    """An id, or the id of a handle; None for nothing."""
    if not said or said.isdecimal():
        return int(said) if said else None
    async with connect_as_service(place) as connection:
        found = await connection.users.LookupUser(
            user_pb2.LookupUserRequest(handle=said.removeprefix("@"))
        )
        return found.user.user_id


def since_of(said: str, now: datetime) -> datetime | None:
    """The moment that "2h" or an ISO time means, a bare one in UTC; None for
    nothing. Raises typer.BadParameter."""
    if not said:
        return None
    ago = re.fullmatch(r"(\d+)([smhd])", said)
    if ago:
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(said)
    except ValueError as error:
        raise typer.BadParameter(
            f"{said} is no time: 30m, 2h, 7d or 2026-03-01T12:00 are"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _brief(moment: datetime | None) -> str:
    return moment.strftime("%m-%d %H:%M:%S") if moment else ""


def _event(letter: DeadLetter) -> str:
    """The event as JSON, or its bytes where they are of no known event."""
    event = event_types.decoded(letter.subject, letter.payload)
    if event is None:
        return letter.payload.hex()
    return json_format.MessageToJson(event)
