"""F18: calls given up at any point, by the thousand; each answer is its asker's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

from feedmesh.feed.v1 import feed_pb2, feed_pb2_grpc
from feedmesh.graph.v1 import user_pb2, user_pb2_grpc
from feedmesh.ingest.v1 import post_pb2, post_pb2_grpc

from meshctl.layout import address
from tests.faults.faults import Complaint, Fault, Scene
from tests.faults.history import Outcome
from tests.faults.people import Person

IN_FLIGHT = 60
# Calls for each second that the fault lasts.
RATE = 250
# Most calls are given up within this, some are let go to their end.
GIVEN_UP = 0.025

CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()
AND state_change < clock_timestamp() - interval '3 seconds'
"""

# What was asked for, and what came: equal, or the answer is somebody else's.
Answer = tuple[object, object]
Ask = Callable[[], Awaitable[Answer]]


@dataclass(frozen=True)
class Storm:
    """Stubs of the services themselves: nothing stands between them and the storm."""

    scene: Scene
    users: user_pb2_grpc.UserServiceAsyncStub
    posts: post_pb2_grpc.PostServiceAsyncStub
    feeds: feed_pb2_grpc.FeedServiceAsyncStub

    async def call(self, number: int) -> bool:
        """One call; whether it was answered before it was given up."""
        dice = random.Random(self.scene.dice.random())
        patience = None if number % 8 == 0 else dice.uniform(0, GIVEN_UP)
        ask = self._ask(dice)
        begin = self.scene.history.now()
        try:
            async with asyncio.timeout(patience):
                asked, got = await ask()
        except (TimeoutError, grpc.aio.AioRpcError):
            return False
        self.scene.history.add(
            "storm",
            "storm",
            {"call": number},
            begin=begin,
            outcome=Outcome.OK,
            answer={"asked": asked, "got": got},
        )
        return True

    def _ask(self, dice: random.Random) -> Ask:
        person = dice.choice(self.scene.world.people)
        post, author = dice.choice(self.scene.world.recent)
        return dice.choice(
            [
                lambda: self._user(person),
                lambda: self._post(person, post, author),
                lambda: self._own_posts(person),
                lambda: self._feed(person),
            ]
        )

    async def _user(self, person: Person) -> Answer:
        request = user_pb2.GetUserRequest(user_id=person.user_id)
        answer = await self.users.GetUser(request, metadata=_as(person), timeout=1.5)
        return [person.user_id, person.name], [answer.user.user_id, answer.user.handle]

    async def _post(self, person: Person, post: int, author: int) -> Answer:
        request = post_pb2.GetPostRequest(post_id=post)
        answer = await self.posts.GetPost(request, metadata=_as(person), timeout=1.5)
        return [post, author], [answer.post.post_id, answer.post.author_id]

    async def _own_posts(self, person: Person) -> Answer:
        request = post_pb2.ListUserPostsRequest(user_id=person.user_id, page_size=20)
        answer = await self.posts.ListUserPosts(
            request, metadata=_as(person), timeout=1.5
        )
        owners = {item.post.author_id for item in answer.items} or {person.user_id}
        return [person.user_id], sorted(owners)

    async def _feed(self, person: Person) -> Answer:
        request = feed_pb2.GetHomeFeedRequest(page_size=30)
        answer = await self.feeds.GetHomeFeed(request, metadata=_as(person), timeout=1)
        own = {
            item.post.author_id
            for item in answer.items
            if item.reason == feed_pb2.REASON_OWN
        } or {person.user_id}
        return [person.user_id], sorted(own)


def _as(person: Person) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {person.token}"),)


async def cancel_storm(scene: Scene) -> None:
    offset = scene.mesh.plan.offset
    async with (
        grpc.aio.insecure_channel(address("graph", offset)) as graph,
        grpc.aio.insecure_channel(address("ingest", offset)) as ingest,
        grpc.aio.insecure_channel(address("feed", offset)) as feed,
    ):
        storm = Storm(
            scene,
            user_pb2_grpc.UserServiceStub(graph),
            post_pb2_grpc.PostServiceStub(ingest),
            feed_pb2_grpc.FeedServiceStub(feed),
        )
        numbers = iter(range(int(scene.seconds * RATE)))

        async def caller() -> None:
            for number in numbers:
                await storm.call(number)

        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(caller())
    await asyncio.sleep(3)
    async with scene.mesh.database("svc_feed") as database:
        stuck = await database.fetchval(CONNECTIONS)
    if stuck:
        raise Complaint(f"{stuck} server connections are still busy after the storm")


FAULTS = (
    Fault(
        name="F18",
        what="calls cancelled at random points",
        inject=cancel_storm,
        short=6,
        long=20,
    ),
)
