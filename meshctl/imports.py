"""`meshctl import`: data sets into a running mesh, with progress bars."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from . import datasets
from .connection import Connection, Place, connect_as_service
from .console import say
from .explained import explained
from .import_activity import ActivityImport
from .import_follows import Edge, import_follows, import_users
from .layout import DATA, DataOption, Layout, OffsetOption

app = typer.Typer(
    no_args_is_help=True,
    help="Bring follow graphs and activity logs into a running mesh.",
)

FileArgument = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, help="The file, plain or gzipped."),
]
PrefixOption = Annotated[
    str, typer.Option(help="Put before every account of the file to make a handle.")
]

# Without a file of texts.
PLAIN_TEXTS = ("what a day", "look at this", "who else saw it?", "more soon")


@app.command()
def follows(
    file: FileArgument,
    prefix: PrefixOption = "",
    from_activity: Annotated[
        bool,
        typer.Option(help="The file is an activity log: A follows whom A acted upon."),
    ] = False,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Import people and their follows from lines of `follower followee`.

    Through ImportUsers and ImportFollows: people without passwords, no backfill, one
    event for a batch of up to 1,000 edges. Running it again changes nothing.
    """
    read = datasets.follows_from_activity if from_activity else datasets.follows
    place = Place(Layout(data.absolute()), port_offset)
    with explained():
        asyncio.run(_follows(list(read(file, prefix)), place))


@app.command()
def activity(
    file: FileArgument,
    prefix: PrefixOption = "",
    texts: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Lines of `label TAB text`; ham is used."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Lines of the file to take.")
    ] = None,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Replay an activity log: lines of `actor target unix_seconds KIND`.

    MT is a post that names the target; RT shares, and RE comments on, the target's
    newest post, which is written first if there is none. Calls are made with a
    service token that acts as the author. Every request id comes from its line:
    after Ctrl-C, run the same command again and nothing is done twice.
    """
    place = Place(Layout(data.absolute()), port_offset)
    with explained():
        actions = list(datasets.activity(file, prefix, limit))
        said = datasets.texts(texts) if texts else PLAIN_TEXTS
        asyncio.run(_activity(actions, said, place))


async def _follows(edges: Sequence[Edge], place: Place) -> None:
    people = len({handle for edge in edges for handle in edge})
    began = time.monotonic()
    with progress() as bars:
        on_people = bars.add_task("people", total=people)
        on_follows = bars.add_task("follows", total=len(edges))
        async with connect_as_service(place) as connection:
            done, _ = await import_follows(
                edges,
                graph=connection.graph,
                on_people=lambda n: bars.advance(on_people, n),
                on_follows=lambda n: bars.advance(on_follows, n),
            )
    seconds = time.monotonic() - began
    say(
        f"{done.people:,} people ({done.new_people:,} new), "
        f"{done.follows:,} follows ({done.new_follows:,} new) in {seconds:.1f} s"
    )


async def _activity(
    actions: Sequence[datasets.Action], texts: Sequence[str], place: Place
) -> None:
    handles = sorted({h for action in actions for h in (action.actor, action.target)})
    began = time.monotonic()
    with progress() as bars:
        on_people = bars.add_task("people", total=len(handles))
        on_actions = bars.add_task("actions", total=len(actions))
        async with connect_as_service(place) as connection:
            ids, _ = await import_users(
                handles,
                graph=connection.graph,
                advance=lambda n: bars.advance(on_people, n),
            )
            run = ActivityImport(
                posts=connection.posts,
                act_as=Connection.acting_as,
                user_ids=ids,
                texts=texts,
                on_action=lambda n: bars.advance(on_actions, n),
            )
            done = await run.run(actions)
    seconds = time.monotonic() - began
    say(
        f"{done.posts:,} posts, {done.shares:,} shares, {done.comments:,} comments; "
        f"{done.repeats:,} changed nothing; {seconds:.1f} s"
    )


def progress() -> Progress:
    """Bars with a count and the time that is left."""
    return Progress(
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
