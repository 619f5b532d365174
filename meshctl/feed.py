"""`meshctl feed`: somebody's home feed, as they see it."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from feedmesh.feed.v1 import feed_pb2
from feedmesh.graph.v1 import user_pb2

from . import console
from .connection import Connection, Place, connect_as_service
from .console import say
from .explained import explained
from .layout import DATA, DataOption, Layout, OffsetOption


def feed(
    handle: Annotated[str, typer.Argument(help="Whose feed, by handle.")],
    latest: Annotated[
        bool, typer.Option(help="Newest first instead of ranked.")
    ] = False,
    size: Annotated[int, typer.Option(min=1, max=100, help="Items to show.")] = 20,
    data: DataOption = DATA,
    port_offset: OffsetOption = 0,
) -> None:
    """Show the first page of a person's home feed, with the terms of each score."""
    place = Place(Layout(data.absolute()), port_offset)
    with explained():
        page = asyncio.run(_page(handle, latest=latest, size=size, place=place))
    console.show(_table(page))
    order = feed_pb2.ServedAs.Name(page.served_as).removeprefix("SERVED_AS_")
    source = feed_pb2.ServedFrom.Name(page.served_from).removeprefix("SERVED_FROM_")
    more = ", there is more" if page.next_page_token else ""
    say(f"served as {order}, from {source}{more}")


async def _page(
    handle: str, *, latest: bool, size: int, place: Place
) -> feed_pb2.GetHomeFeedResponse:
    async with connect_as_service(place) as connection:
        found = await connection.users.LookupUser(
            user_pb2.LookupUserRequest(handle=handle)
        )
        return await connection.feeds.GetHomeFeed(
            feed_pb2.GetHomeFeedRequest(
                page_size=size,
                order=feed_pb2.ORDER_LATEST if latest else feed_pb2.ORDER_RANKED,
                include_scores=not latest,
            ),
            metadata=Connection.acting_as(found.user.user_id),
        )


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
