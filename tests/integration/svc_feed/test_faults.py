"""Feeds with engines and peers out of reach: degraded, labelled, never wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from feedmesh.feed.v1 import feed_pb2

from chassis.errors import Unavailable
from chassis.testing import FaultProxy, engines, eventually, fault_proxy, refuses

from domain.visibility import Relation
from tests.support.feed import FeedRoom, feed_room, person

ANN, BEN, CAT = map(person, (1, 2, 3))


@asynccontextmanager
async def behind_proxies() -> AsyncIterator[tuple[FeedRoom, FaultProxy, FaultProxy]]:
    """The room with proxies before Valkey and Postgres; Ann follows Ben."""
    at_valkey, at_postgres = urlsplit(engines().valkey), urlsplit(engines().postgres)
    assert at_valkey.hostname
    assert at_valkey.port
    assert at_postgres.hostname
    assert at_postgres.port
    async with (
        fault_proxy(at_valkey.hostname, at_valkey.port) as valkey,
        fault_proxy(at_postgres.hostname, at_postgres.port) as postgres,
        feed_room(valkey_port=valkey.port, postgres_port=postgres.port) as room,
    ):
        await room.follow(ANN, BEN)
        yield room, valkey, postgres


async def until_served(room: FeedRoom, ids: list[int], served_from: int) -> None:
    async def check() -> None:
        page = await room.page(ANN)
        assert [item.post.post_id for item in page.items] == ids
        assert page.served_from == served_from

    await eventually(check)


async def test_frozen_valkey_leaves_feeds_to_the_index() -> None:
    """Posts go on being fanned out; when Valkey is back no hot feed lacks them."""
    async with behind_proxies() as (room, valkey, _):
        first = await room.post(BEN)
        await until_served(room, [first], feed_pb2.SERVED_FROM_HOT)
        valkey.freeze()
        second = await room.post(BEN)
        await until_served(room, [second, first], feed_pb2.SERVED_FROM_INDEX)
        valkey.heal()

        await until_served(room, [second, first], feed_pb2.SERVED_FROM_HOT)


async def test_without_valkey_a_block_holds_at_once() -> None:
    """Versions are unreadable, so relations are asked for every time."""
    async with behind_proxies() as (room, valkey, _):
        first = await room.post(BEN)
        own = await room.post(ANN)
        await until_served(room, [own, first], feed_pb2.SERVED_FROM_HOT)
        valkey.freeze()
        await until_served(room, [own, first], feed_pb2.SERVED_FROM_INDEX)
        room.peers.edges[ANN, BEN] = Relation(is_following=True, is_blocked_by=True)

        assert await room.ids_of(ANN) == [own]


async def test_frozen_postgres_leaves_feeds_to_the_hot_copy() -> None:
    """Within the deadline; and an error where there is no hot copy."""
    async with behind_proxies() as (room, valkey, postgres):
        first = await room.post(BEN)
        await until_served(room, [first], feed_pb2.SERVED_FROM_HOT)
        postgres.freeze()

        page = await room.page(ANN)
        assert [item.post.post_id for item in page.items] == [first]
        valkey.freeze()
        valkey.reset()
        with refuses(Unavailable, "DEPENDENCY_UNAVAILABLE"):
            await room.page(ANN)


async def test_without_svc_graph_only_ones_own_posts_are_shown() -> None:
    """What is unknown is withheld, and the page says so; nothing left is an error."""
    async with behind_proxies() as (room, _, _):
        first = await room.post(BEN)
        own = await room.post(ANN)
        await until_served(room, [own, first], feed_pb2.SERVED_FROM_HOT)
        await room.marks.begin([ANN], room.ids.next())
        room.peers.down.add("graph")

        page = await room.page(ANN)
        assert [item.post.post_id for item in page.items] == [own]
        assert page.end_reason == feed_pb2.END_REASON_WITHHELD
        await room.marks.begin([BEN], room.ids.next())
        with refuses(Unavailable, "RELATIONS_UNAVAILABLE"):
            await room.page(CAT)
