"""`meshctl reconcile`: what is kept in two forms, compared and put right."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from feedmesh.graph.v1 import graph_pb2, graph_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from . import console
from .connection import Place, connect_as_service
from .console import complain, say
from .explained import explained
from .layout import DATA, DataOption, Layout, OffsetOption
from .patience import patiently

app = typer.Typer(
    no_args_is_help=True,
    help="Compare what the services keep in two forms, and put right what differs.",
)

# In one call; far from its deadline, and the bar moves.
PAGE = 500


@dataclass(frozen=True)
class Drift:
    """A stored count that is not what was counted."""

    what: str
    number: int
    counter: str
    stored: int
    counted: int


@dataclass(frozen=True)
class Stretch:
    """What one call looked at."""

    checked: int
    drifts: Sequence[Drift]


@app.command()
def counters(
    repair: Annotated[
        bool, typer.Option("--repair", help="Store what was counted.")
    ] = False,
    posts: Annotated[
        bool,
        typer.Option("--posts", help="Only likes, comments and shares of posts."),
    ] = False,
    people: Annotated[
        bool, typer.Option("--people", help="Only followers and followees.")
    ] = False,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Count likes, comments, shares, followers and followees anew, and compare.

    The counts that readers see are kept beside the rows they count. This goes through
    all posts and all people and shows each count that is not what its rows say; a
    count of which the event is just under way is not one of them. With --repair they
    are put right, also in the copies that feeds show, while the mesh goes on working;
    each repair is in the audit trail. Run it as often as you like.

    Ends with status 0 when nothing differs, or all that differed was put right; with
    1 when a wrong count stands.

    Examples: `meshctl reconcile counters` to look, `meshctl reconcile counters
    --repair` to put right, `meshctl reconcile counters --people` for one half.
    """
    # Neither named: both.
    is_everything = posts is people
    place = Place(Layout(data.absolute()), port_offset)
    with explained():
        checked, drifts = asyncio.run(
            _counters(
                place,
                repair=repair,
                posts=posts or is_everything,
                people=people or is_everything,
            )
        )
    if drifts:
        console.show(_table(drifts))
    amount = " and ".join(f"{count:,} {what}" for what, count in checked.items())
    if not drifts:
        say(f"{amount} checked: every count is right")
    elif repair:
        say(f"{amount} checked: {len(drifts):,} counts were put right")
    else:
        complain(f"{amount} checked: {len(drifts):,} counts are wrong (see --repair)")
        raise typer.Exit(1)


async def _counters(
    place: Place, *, repair: bool, posts: bool, people: bool
) -> tuple[dict[str, int], list[Drift]]:
    """How many posts and people were looked at, and what differed."""
    checked: dict[str, int] = {}
    drifts: list[Drift] = []
    async with connect_as_service(place) as connection:
        walks = {}
        if posts:
            walks["posts"] = of_posts(connection.posts, repair=repair)
        if people:
            walks["people"] = of_people(connection.graph, repair=repair)
        with _bars() as bars:
            for name, walk in walks.items():
                bar = bars.add_task(name, total=None)
                checked[name] = 0
                async for stretch in walk:
                    checked[name] += stretch.checked
                    drifts += stretch.drifts
                    bars.update(bar, completed=checked[name])
                bars.update(bar, total=checked[name])
    return checked, drifts


async def of_posts(
    stub: "post_pb2_grpc.PostServiceAsyncStub", *, repair: bool
) -> AsyncIterator[Stretch]:
    """All posts, page by page."""
    after = 0
    while True:
        request = post_pb2.ReconcileCountersRequest(
            after_post_id=after, page_size=PAGE, repair=repair
        )
        answer = await patiently(_call(stub.ReconcileCounters, request))
        yield Stretch(
            answer.checked_count,
            [
                Drift("post", drift.post_id, drift.counter, drift.stored, drift.counted)
                for drift in answer.drifts
            ],
        )
        after = answer.last_post_id
        if not after:
            return


async def of_people(
    stub: "graph_pb2_grpc.GraphServiceAsyncStub", *, repair: bool
) -> AsyncIterator[Stretch]:
    """All people, page by page."""
    after = 0
    while True:
        request = graph_pb2.ReconcileCountersRequest(
            after_user_id=after, page_size=PAGE, repair=repair
        )
        answer = await patiently(_call(stub.ReconcileCounters, request))
        yield Stretch(
            answer.checked_count,
            [
                Drift(
                    "person", drift.user_id, drift.counter, drift.stored, drift.counted
                )
                for drift in answer.drifts
            ],
        )
        after = answer.last_user_id
        if not after:
            return


Request = TypeVar("Request")
Answer = TypeVar("Answer")


def _call(
    rpc: Callable[[Request], Awaitable[Answer]], request: Request
) -> Callable[[], Awaitable[Answer]]:
    return lambda: rpc(request)


def _bars() -> Progress:
    """How many were looked at; how many there are is known at the end."""
    return Progress(
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        # What was found goes to the standard output, alone.
        console=Console(stderr=True),
    )


def _table(drifts: Sequence[Drift]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("what", "id", "counter", "stored", "counted"):
        right = name in ("stored", "counted")
        table.add_column(name, justify="right" if right else "left")
    for drift in drifts:
        table.add_row(
            *(drift.what, str(drift.number), drift.counter),
            *(f"{drift.stored:,}", f"{drift.counted:,}"),
        )
    return table
