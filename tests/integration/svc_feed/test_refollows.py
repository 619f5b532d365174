"""A thousand edges that end and begin again, while posts are fanned out."""

from __future__ import annotations

import asyncio
import random
import re

import httpx
from google.protobuf.message import Message

from feedmesh.graph.v1.events_pb2 import UserFollowed, UserUnfollowed

from chassis.ids import ms_of, time_of
from chassis.postgres import PostgresSettings, open_pool
from chassis.testing import eventually

from domain.visibility import Relation
from tests.support.feed import FeedRoom, feed_room

READERS = 100
AUTHORS = 10
PATIENCE = 120

HANDLED = re.compile(
    r'^bus_handled_total\{durable="feed-(?:backfill|unfollow)",outcome="ack"\} (\S+)$',
    re.MULTILINE,
)
HELD = "SELECT viewer_id, post_id FROM feed_entry"


class Edge:
    """One reader and one author; the events of their edge are on their way."""

    def __init__(self, room: FeedRoom, reader: int, author: int) -> None:
        self._room = room
        self.reader = reader
        self.author = author
        self.events: list[Message] = []

    def follow(self) -> None:
        self._relate(Relation(is_following=True))
        self.events.append(
            UserFollowed(follower_id=self.reader, followee_id=self.author)
        )

    def unfollow(self) -> None:
        self._relate(Relation())
        event = UserUnfollowed(follower_id=self.reader, followee_id=self.author)
        event.envelope.occurred_at.FromDatetime(time_of(self._room.ids.next()))
        self.events.append(event)

    @property
    def is_there(self) -> bool:
        return self._room.peers.edges[self.reader, self.author].is_following

    def _relate(self, relation: Relation) -> None:
        peers = self._room.peers
        peers.edges[self.reader, self.author] = relation
        peers.since_ms[self.reader, self.author] = ms_of(self._room.ids.next())


async def all_handled(room: FeedRoom, count: int) -> None:
    """Fails unless so many events of edges were handled."""
    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{room.admin_port}/metrics"
        told = (await client.get(url)).text
    assert sum(float(number) for number in HANDLED.findall(told)) >= count


async def test_a_thousand_refollows_lose_no_post() -> None:
    """Events come in any order, some of them twice, and posts between them."""
    chance = random.Random(3)
    async with (
        feed_room() as room,
        open_pool(PostgresSettings(url=room.settings.database)) as database,
    ):
        authors = [room.ids.next() for _ in range(AUTHORS)]
        readers = [room.ids.next() for _ in range(READERS)]
        edges = [Edge(room, reader, author) for reader in readers for author in authors]
        for edge in edges:
            edge.follow()
        posts = {author: [await room.post(author)] for author in authors}
        for _ in range(2):
            for edge in chance.sample(edges, len(edges) // 2):
                edge.unfollow()
                edge.follow()
            for author in authors:
                posts[author].append(await room.post(author))
        for edge in chance.sample(edges, len(edges) // 10):
            edge.unfollow()
        events = [event for edge in edges for event in edge.events]
        events += chance.sample(events, len(events) // 10)
        chance.shuffle(events)

        for start in range(0, len(events), 100):
            async with asyncio.TaskGroup() as group:
                for event in events[start : start + 100]:
                    group.create_task(room.publish(event))
            author = chance.choice(authors)
            posts[author].append(await room.post(author))

        async def whole() -> None:
            held = {tuple(row) for row in await database.fetch(HELD)}
            wanted = {
                (edge.reader, post)
                for edge in edges
                if edge.is_there
                for post in posts[edge.author]
            }
            assert wanted <= held, f"{len(wanted - held)} missing"

        await eventually(lambda: all_handled(room, len(events)), timeout=PATIENCE)
        await eventually(whole, timeout=PATIENCE)
