"""Calls cancelled by their callers, on a whole svc_graph: everybody gets their own."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import asyncpg

from feedmesh.graph.v1 import graph_pb2, user_pb2

from chassis.testing import eventually

from tests.support.graph import GraphRoom, acting, graph_room, ids_of
from tests.support.storm import Storm

CALLS = 2_500
SEED = 18
PEOPLE = 40

BUSY = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""


@dataclass
class Asked:
    """People who follow the next two each, and mute and unmute the one behind."""

    room: GraphRoom
    random: Random
    people: list[int]
    handles: dict[int, str]

    def somebody(self) -> int:
        return self.random.randrange(PEOPLE)

    def at(self, place: int) -> int:
        return self.people[place % PEOPLE]

    async def profile(self, _: str) -> None:
        asked = self.at(self.somebody())
        found = (
            await self.room.users.GetUser(user_pb2.GetUserRequest(user_id=asked))
        ).user
        assert (found.user_id, found.handle) == (asked, self.handles[asked])

    async def following(self, _: str) -> None:
        place = self.somebody()
        with acting(self.at(place)):
            answer = await self.room.graph.ListFollowing(
                graph_pb2.ListFollowingRequest(user_id=self.at(place))
            )
        assert set(ids_of(answer.users)) == {self.at(place + 1), self.at(place + 2)}

    async def relations(self, _: str) -> None:
        place = self.somebody()
        answer = await self.room.internal.GetRelations(
            graph_pb2.GetRelationsRequest(
                viewer_id=self.at(place),
                user_ids=[self.at(place + step) for step in range(1, 6)],
            )
        )
        assert [(one.user_id, one.is_following) for one in answer.relations] == [
            (self.at(place + step), step < 3) for step in range(1, 6)
        ]

    async def mutes(self, _: str) -> None:
        """Writes, and finds nothing but what this person may have written."""
        place = self.somebody()
        muted = self.at(place - 1)
        with acting(self.at(place)):
            if self.random.randrange(2):
                await self.room.graph.Mute(graph_pb2.MuteRequest(user_id=muted))
            else:
                await self.room.graph.Unmute(graph_pb2.UnmuteRequest(user_id=muted))
            answer = await self.room.graph.ListMutes(graph_pb2.ListMutesRequest())
        assert set(ids_of(answer.users)) <= {muted}


async def test_no_answer_reaches_another_caller(tmp_path: Path) -> None:
    """And when it is over, nothing of it is left on the server."""
    async with graph_room(tmp_path) as room:
        people = await room.sign_ups(PEOPLE)
        handles = {one: await room.handle_of(one) for one in people}
        asked = Asked(room, Random(SEED), people, handles)
        for place in range(PEOPLE):
            for step in (1, 2):
                await room.follow(asked.at(place), asked.at(place + step))

        storm = Storm(seed=SEED, in_flight=24, longest=0.06)
        await storm.rage(
            [asked.profile, asked.following, asked.relations, asked.mutes], CALLS
        )

        assert storm.is_both(), storm.outcomes
        await eventually(lambda: is_calm(room))
        for place in range(PEOPLE):
            with acting(asked.at(place)):
                await asked.following("")
                await asked.mutes("")


async def is_calm(room: GraphRoom) -> bool:
    """No statement runs, no transaction is open."""
    connection = await asyncpg.connect(room.settings.database)
    try:
        return bool(await connection.fetchval(BUSY) == 0)
    finally:
        await connection.close()
