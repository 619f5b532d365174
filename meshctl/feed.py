"""`meshctl feed`: somebody's home feed, as they see it, and why it is as it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import user_pb2

from . import console
from .connection import Connection, Place, connect_as_service
from .console import say
from .explained import explained
from .layout import DATA, DataOption, Layout, OffsetOption

SHOW = "show"

HandleArgument = Annotated[str, typer.Argument(help="Whose feed, by handle.")]


class FeedGroup(TyperGroup):
    """Commands, and the page for whoever names none of them."""

    # The context is of a class that typer does not name.
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=FeedGroup,
    no_args_is_help=True,
    help="Show a person's home feed (`meshctl feed HANDLE`), say why a post is or is"
    " not in it, and compare or remake the index behind it. A person whose handle is"
    " the name of a command is reached with `meshctl feed show HANDLE`.",
)


@app.command(SHOW)
def show(
    handle: HandleArgument,
    latest: Annotated[
        bool, typer.Option(help="Newest first instead of ranked.")
    ] = False,
    size: Annotated[int, typer.Option(min=1, max=100, help="Items to show.")] = 20,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Show the first page of a person's home feed, with the terms of each score.

    The word `show` can be left out.
    """
    with explained():
        page = asyncio.run(
            _page(handle, latest=latest, size=size, place=_place(data, port_offset))
        )
    console.show(_table(page))
    order = feed_pb2.ServedAs.Name(page.served_as).removeprefix("SERVED_AS_")
    source = feed_pb2.ServedFrom.Name(page.served_from).removeprefix("SERVED_FROM_")
    more = ", there is more" if page.next_page_token else ""
    say(f"served as {order}, from {source}{more}")


@app.command()
def explain(
    handle: HandleArgument,
    post_id: Annotated[int, typer.Argument(min=1, help="Which post, by its id.")],
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Say why a post is in a person's home feed, or why it is not.

    The edge to its author, what fan-out made of it, and the rule that hides it.
    """
    with explained():
        answer = asyncio.run(_explain(handle, post_id, _place(data, port_offset)))
    say("in the feed" if answer.is_in_feed else "not in the feed")
    facts = {
        "edge": feed_pb2.EdgeState.Name(answer.edge).removeprefix("EDGE_STATE_"),
        "placement": feed_pb2.PlacementState.Name(answer.placement).removeprefix(
            "PLACEMENT_STATE_"
        ),
        "hot": "yes" if answer.is_hot else "no",
        "hidden by": feed_pb2.HiddenBy.Name(answer.hidden_by).removeprefix("HIDDEN_BY_")
        if answer.hidden_by
        else "nothing",
        "last read": answer.last_read_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
        if answer.HasField("last_read_time")
        else "never",
    }
    for name, fact in facts.items():
        say(f"{name:<11}{fact}")
    say(answer.summary)


@app.command()
def audit(
    handle: HandleArgument,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Place what is missing, take out what is extra."),
    ] = False,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Compare the index of a person's home feed with what graph and posts say.

    Ends with status 1 when posts are missing or extra and were not repaired.
    """
    with explained():
        found = asyncio.run(_audit(handle, repair, _place(data, port_offset)))
    missing, extra = found.missing_post_ids, found.extra_post_ids
    for name, ids in (("missing", missing), ("extra", extra)):
        for post_id in ids:
            say(f"{name:<8}{post_id}")
    told = " of the newest" if found.is_partial else ""
    say(
        f"{found.checked_count}{told} posts compared:"
        f" {len(missing)} missing, {len(extra)} extra"
        + (", repaired" if found.is_repaired else "")
    )
    if (missing or extra) and not found.is_repaired:
        raise typer.Exit(1)


@app.command()
def rebuild(
    handle: HandleArgument,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Make the index of a person's home feed anew from graph and posts.

    Reads go on meanwhile.
    """
    with explained():
        rebuilt = asyncio.run(_rebuild(handle, _place(data, port_offset)))
    rest = "" if rebuilt.is_complete else ", the rest goes on in the background"
    say(f"{rebuilt.entry_count} entries placed{rest}")


def _place(data: Path, offset: int) -> Place:
    return Place(Layout(data.absolute()), offset)


async def _page(
    handle: str, *, latest: bool, size: int, place: Place
) -> feed_pb2.GetHomeFeedResponse:
    async with connect_as_service(place) as connection:
        return await connection.feeds.GetHomeFeed(
            feed_pb2.GetHomeFeedRequest(
                page_size=size,
                order=feed_pb2.ORDER_LATEST if latest else feed_pb2.ORDER_RANKED,
                include_scores=not latest,
            ),
            metadata=Connection.acting_as(await _user(connection, handle)),
        )


async def _explain(
    handle: str, post_id: int, place: Place
) -> feed_pb2.ExplainFeedResponse:
    async with connect_as_service(place) as connection:
        return await connection.feeds.ExplainFeed(
            feed_pb2.ExplainFeedRequest(
                user_id=await _user(connection, handle), post_id=post_id
            )
        )


async def _audit(handle: str, repair: bool, place: Place) -> feed_pb2.AuditFeedResponse:
    async with connect_as_service(place) as connection:
        return await connection.feeds.AuditFeed(
            feed_pb2.AuditFeedRequest(
                user_id=await _user(connection, handle), repair=repair
            )
        )


async def _rebuild(handle: str, place: Place) -> feed_pb2.RebuildFeedResponse:
    async with connect_as_service(place) as connection:
        return await connection.feeds.RebuildFeed(
            feed_pb2.RebuildFeedRequest(user_id=await _user(connection, handle))
        )


async def _user(connection: Connection, handle: str) -> int:
    found = await connection.users.LookupUser(user_pb2.LookupUserRequest(handle=handle))
    return found.user.user_id


def _table(page: feed_pb2.GetHomeFeedResponse) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("when", "author", "post", "why", "score"):
        table.add_column(name, overflow="fold" if name == "post" else "ellipsis")
    for item in page.items:
        shared = f"↻ {item.original_author.handle}: {item.original.text}"
        terms = " ".join(f"{t.name} {t.value:+.2f}" for t in item.score.terms)
        table.add_row(
            item.post.create_time.ToDatetime().strftime("%m-%d %H:%M:%S"),
            item.author.handle,
            item.post.text or shared,
            feed_pb2.Reason.Name(item.reason).removeprefix("REASON_").lower(),
            f"{item.score.value:.2f} ({terms})" if terms else "",
        )
    return table
