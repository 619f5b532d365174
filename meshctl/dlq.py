"""`meshctl dlq`: events that no consumer could handle, shown and sent again."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from rich.table import Table

from feedmesh.graph.v1 import events_pb2 as graph_events
from feedmesh.ingest.v1 import events_pb2 as ingest_events

from chassis import policy
from chassis.bus import Bus, DeadLetter, NatsSettings, open_bus
from chassis.embedded import nats
from chassis.embedded.engines import Ports

from . import console
from .calling import SERVICE
from .connection import Place
from .console import say
from .explained import explained
from .layout import DATA, DataOption, Layout, OffsetOption

app = typer.Typer(
    no_args_is_help=True,
    help="Look into the dead letters: events that failed eight times, or could not"
    " be read. They are kept for 30 days.",
)

NumberArgument = Annotated[
    int, typer.Argument(min=1, help="Number of the dead letter, from `dlq list`.")
]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """List the newest dead letters."""
    with explained():
        letters = asyncio.run(_list(limit, _place(data, port_offset)))
    if not letters:
        say("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("number", "when", "consumer", "subject", "tries", "error"):
        table.add_column(name)
    for letter in letters:
        when = letter.died_at.strftime("%m-%d %H:%M:%S") if letter.died_at else ""
        error = f"{letter.error}: {letter.message}"
        table.add_row(
            *(str(letter.number), when, letter.durable, letter.subject),
            *(str(letter.attempts), error),
        )
    console.show(table)


@app.command()
def show(
    number: NumberArgument, data: DataOption = DATA, port_offset: OffsetOption = 0
) -> None:
    """Show one dead letter whole: its error, its trace, the event."""
    with explained():
        letter = asyncio.run(_show(number, _place(data, port_offset)))
    for name in ("number", "subject", "sequence", "durable", "attempts", "died_at"):
        say(f"{name:<10}{getattr(letter, name)}")
    say(f"{'error':<10}{letter.error}: {letter.message}")
    say(f"{'trace':<10}{letter.trace}")
    say(_event(letter))


@app.command()
def replay(
    numbers: Annotated[
        list[int], typer.Argument(min=1, help="Numbers of dead letters.")
    ],
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Publish dead letters again, with the event ids they had.

    Every consumer of the subject gets them; those that had handled them notice.
    """
    with explained():
        for letter in asyncio.run(_replay(numbers, _place(data, port_offset))):
            say(f"{letter.number} sent again on {letter.subject}")


def _place(data: Path, offset: int) -> Place:
    return Place(Layout(data.absolute()), offset)


async def _list(limit: int, place: Place) -> list[DeadLetter]:
    async with _bus(place) as bus:
        return await bus.dead_letters(limit)


async def _show(number: int, place: Place) -> DeadLetter:
    async with _bus(place) as bus:
        return await bus.dead_letter(number)


async def _replay(numbers: list[int], place: Place) -> list[DeadLetter]:
    async with _bus(place) as bus:
        return [await bus.replay(number) for number in numbers]


@asynccontextmanager
async def _bus(place: Place) -> AsyncIterator[Bus]:
    """The bus of the mesh, or the outside one that the environment names."""
    url = os.environ.get("FEEDMESH_NATS_URL") or nats.url(
        place.layout.engines / "nats", port=Ports().shifted(place.offset).nats
    )
    async with open_bus(NatsSettings(url=url), name=SERVICE) as bus:
        await bus.ping()
        yield bus


def _event(letter: DeadLetter) -> str:
    """The event as JSON, or its bytes where they are of no known event."""
    try:
        kind = _events()[letter.subject]
        return json_format.MessageToJson(kind.FromString(letter.payload))
    except (KeyError, DecodeError):
        return letter.payload.hex()


def _events() -> dict[str, type[Message]]:
    """Every event of the contract by its subject."""
    found: dict[str, type[Message]] = {}
    for module in (graph_events, ingest_events):
        for name in module.DESCRIPTOR.message_types_by_name:
            kind: type[Message] = getattr(module, name)
            found[policy.event_subject(kind)] = kind
    return found
