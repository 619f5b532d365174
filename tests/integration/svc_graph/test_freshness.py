"""Which near copies each mutation makes unusable, and when.

A row for each mutation: whose relations are marked with the new version, what the
change log says of authors, and which events are told.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from feedmesh.graph.v1 import graph_pb2, user_pb2

from chassis.auth import Caller, Role, calling_as
from chassis.change_log import ChangeLog
from chassis.freshness import VersionMarks
from chassis.postgres import Pool
from chassis.valkey import Valkey

from svc_graph.model import ProfileChange
from tests.support.graph import (
    CELEBRITY_THRESHOLD,
    GraphRoom,
    acting,
    graph_room,
    graph_stores,
    logged,
)

ADMIN = Caller(user_id=1, role=Role.ADMIN)
SERVICE = Caller(role=Role.SERVICE, service="importer")

SUBJECTS = "SELECT subject FROM outbox ORDER BY id"


@dataclass(frozen=True)
class World:
    """Ann follows bob and the star; cid is private, and asked by dan.

    The star has one follower less than a celebrity; the celebrity as many as it takes
    to be one, and ceases to be one with the next who goes.
    """

    room: GraphRoom
    ids: dict[str, int]
    fans: list[int]

    def __getitem__(self, name: str) -> int:
        return self.ids[name]

    async def marks(self) -> dict[str, int | None]:
        people = [*self.ids, *map(str, self.fans)]
        keys = [f"gv:{{{user}}}" for user in (*self.ids.values(), *self.fans)]
        raw = await self.room.valkey.read(keys)
        return dict(zip(people, map(VersionMarks.parse, raw), strict=True))

    async def told(self) -> list[str]:
        rows = await self.room.pool.fetch(SUBJECTS)
        return [row[0].removeprefix("ev.graph.") for row in rows]

    def name(self, entry: str) -> str:
        """A log entry with the name in place of the id."""
        kind, _, user = entry.partition(":")
        [name] = [name for name, known in self.ids.items() if known == int(user)]
        return f"{kind}:{name}"


Act = Callable[[World], Awaitable[Message]]


@dataclass(frozen=True)
class Row:
    """A mutation, and what is expected of it."""

    act: Act
    marked: Sequence[str] = ()
    logged: Sequence[str] = ()
    told: Sequence[str] = ()
    before: Sequence[Act] = field(default=())


def by(who: str, name: str, whom: str, **fields: Any) -> Act:
    """A call of GraphService with one person about another."""

    async def call(world: World) -> Message:
        request = getattr(graph_pb2, f"{name}Request")(user_id=world[whom], **fields)
        with acting(world[who]):
            answer: Message = await getattr(world.room.graph, name)(request)
            return answer

    return call


def admin(name: str, whom: str) -> Act:
    async def call(world: World) -> Message:
        request = getattr(user_pb2, f"{name}Request")(user_id=world[whom])
        with calling_as(ADMIN):
            answer: Message = await getattr(world.room.users, name)(request)
            return answer

    return call


def update(who: str, *paths: str, **fields: Any) -> Act:
    async def call(world: World) -> Message:
        request = user_pb2.UpdateUserRequest(
            user=user_pb2.User(user_id=world[who], **fields)
        )
        request.update_mask.paths.extend(paths)
        with acting(world[who]):
            return await world.room.users.UpdateUser(request)

    return call


async def delete(world: World) -> Message:
    with acting(world["celebrity"]):
        return await world.room.users.DeleteUser(
            user_pb2.DeleteUserRequest(user_id=world["celebrity"])
        )


async def create(world: World) -> Message:
    return await world.room.users.CreateUser(
        user_pb2.CreateUserRequest(handle="eve", password="correct horse battery")
    )


async def bring(world: World) -> Message:
    with calling_as(SERVICE):
        return await world.room.graph.ImportFollows(
            graph_pb2.ImportFollowsRequest(
                follower_ids=[world["dan"]], followee_ids=[world["bob"]]
            )
        )


async def complete(world: World) -> Message:
    version = await world.room.pool.fetchval("SELECT leaving_version FROM celebrity")
    return await world.room.internal.CompleteReachChange(
        graph_pb2.CompleteReachChangeRequest(
            user_id=world["celebrity"], reach_version=version
        )
    )


async def reconcile(world: World) -> Message:
    await world.room.pool.execute(
        "UPDATE graph_state SET follower_count = 0 WHERE user_id = $1",
        world["celebrity"],
    )
    await world.room.pool.execute("DELETE FROM celebrity")
    with calling_as(ADMIN):
        return await world.room.graph.ReconcileCounters(
            graph_pb2.ReconcileCountersRequest(repair=True)
        )


FANS = [str(number) for number in range(CELEBRITY_THRESHOLD - 1)]

ROWS = {
    "follow": Row(by("dan", "Follow", "bob"), ["dan", "bob"], told=["user_followed"]),
    "follow again": Row(by("ann", "Follow", "bob")),
    "ask to follow": Row(by("ann", "Follow", "cid")),
    "unfollow": Row(
        by("ann", "Unfollow", "bob"), ["ann", "bob"], told=["user_unfollowed"]
    ),
    "take a request back": Row(by("dan", "Unfollow", "cid")),
    "approve": Row(
        by("cid", "ApproveFollower", "dan"), ["cid", "dan"], told=["user_followed"]
    ),
    "deny": Row(by("cid", "DenyFollower", "dan")),
    "block": Row(
        by("bob", "Block", "ann"),
        ["ann", "bob"],
        told=["user_unfollowed", "user_blocked"],
    ),
    "unblock": Row(
        by("bob", "Unblock", "ann"),
        ["ann", "bob"],
        told=["user_unblocked"],
        before=[by("bob", "Block", "ann")],
    ),
    "mute": Row(by("ann", "Mute", "bob"), ["ann"], told=["user_muted"]),
    "mute again": Row(by("ann", "Mute", "bob"), before=[by("ann", "Mute", "bob")]),
    "unmute": Row(
        by("ann", "Unmute", "bob"),
        ["ann"],
        told=["user_unmuted"],
        before=[by("ann", "Mute", "bob")],
    ),
    "change the profile": Row(
        update("bob", bio="new"), ["bob"], ["u:bob"], ["user_updated"]
    ),
    "go private": Row(
        update("bob", is_private=True), ["bob"], ["u:bob"], ["user_updated"]
    ),
    "go public": Row(
        update("cid", "is_private"),
        ["cid", "dan"],
        ["u:cid"],
        ["user_updated", "user_followed"],
    ),
    "suspend": Row(admin("SuspendUser", "bob"), ["bob"], ["u:bob"], ["user_suspended"]),
    "reinstate": Row(
        admin("ReinstateUser", "bob"),
        ["bob"],
        ["u:bob"],
        ["user_reinstated"],
        before=[admin("SuspendUser", "bob")],
    ),
    "suspend a celebrity": Row(
        admin("SuspendUser", "celebrity"),
        ["celebrity"],
        ["u:celebrity", "c:celebrity"],
        ["user_suspended"],
    ),
    "reinstate a celebrity": Row(
        admin("ReinstateUser", "celebrity"),
        ["celebrity"],
        ["u:celebrity", "c:celebrity"],
        ["user_reinstated"],
        before=[admin("SuspendUser", "celebrity")],
    ),
    "delete a celebrity": Row(
        delete,
        ["celebrity", *FANS],
        ["u:celebrity", "c:celebrity"],
        ["user_deleted"],
    ),
    "become a celebrity": Row(
        by("dan", "Follow", "star"),
        ["dan", "star"],
        ["c:star"],
        ["user_followed", "reach_changed"],
    ),
    "cease to be a celebrity": Row(
        by("0", "Unfollow", "celebrity"),
        ["0", "celebrity"],
        ["c:celebrity"],
        ["user_unfollowed", "reach_changed"],
    ),
    "complete that": Row(
        complete, (), ["c:celebrity"], before=[by("0", "Unfollow", "celebrity")]
    ),
    "import follows": Row(bring, ["dan", "bob"], told=["follows_imported"]),
    "repair a count": Row(reconcile),
    "sign up": Row(create),
}


async def world_of(room: GraphRoom) -> World:
    names = ["ann", "bob", "cid", "dan", "star", "celebrity"]
    ids = dict(zip(names, await room.sign_ups(len(names)), strict=True))
    fans = await room.sign_ups(CELEBRITY_THRESHOLD)
    star, celebrity = ids["star"], ids["celebrity"]
    with acting(ids["cid"]):
        await room.users.UpdateUser(
            user_pb2.UpdateUserRequest(
                user=user_pb2.User(user_id=ids["cid"], is_private=True)
            )
        )
    with calling_as(SERVICE):
        edges = [(ids["ann"], ids["bob"]), (ids["ann"], star)]
        edges += [(fan, star) for fan in fans[2:]]
        edges += [(fan, celebrity) for fan in fans]
        await room.graph.ImportFollows(
            graph_pb2.ImportFollowsRequest(
                follower_ids=[edge[0] for edge in edges],
                followee_ids=[edge[1] for edge in edges],
            )
        )
    await room.follow(ids["dan"], ids["cid"])
    last = ids | {str(number): fan for number, fan in enumerate(fans[:-1])}
    with acting(fans[-1]):
        await room.graph.Unfollow(graph_pb2.UnfollowRequest(user_id=celebrity))
    return World(room, last, [])


@pytest.mark.parametrize("name", ROWS)
async def test_a_mutation_makes_near_copies_unusable(tmp_path: Path, name: str) -> None:
    """Those of whose relation changes, by the mark; those of an author, by the log.

    The log says it twice: before the commit, and for caches that filled themselves in
    between after it. The marks hold the version that the mutation answers.
    """
    row = ROWS[name]
    async with graph_room(tmp_path) as room:
        world = await world_of(room)
        for act in row.before:
            await act(world)
        marks, log = await world.marks(), await logged(room.valkey)
        events = await world.told()
        answer = await row.act(world)
        after = await world.marks()
        marked = {who for who, mark in after.items() if mark != marks[who]}

        assert marked == set(row.marked)
        said = [world.name(entry) for entry in (await logged(room.valkey))[len(log) :]]
        assert sorted(said) == sorted([*row.logged, *row.logged])
        assert (await world.told())[len(events) :] == list(row.told)
        if marked and hasattr(answer, "graph_version"):
            assert {after[who] for who in marked} == {answer.graph_version}


class WitnessedLog(ChangeLog):
    """A change log that notes whether the account was private in the record by then."""

    def __init__(self, pool: Pool, cache: Valkey) -> None:
        super().__init__(cache)
        self._pool = pool
        self.seen: list[bool] = []

    async def append(self, entries: Sequence[str]) -> None:
        self.seen.append(await self._pool.fetchval(IS_PRIVATE))
        await super().append(entries)


class WitnessedMarks(VersionMarks):
    """Marks that note it too."""

    def __init__(self, pool: Pool, cache: Valkey) -> None:
        super().__init__(cache)
        self._pool = pool
        self.seen: list[tuple[str, bool]] = []

    async def begin(self, ids: Any, version: int) -> None:
        self.seen.append(("begin", await self._pool.fetchval(IS_PRIVATE)))
        await super().begin(ids, version)

    async def settle(self, ids: Any, version: int) -> None:
        self.seen.append(("settle", await self._pool.fetchval(IS_PRIVATE)))
        await super().settle(ids, version)


IS_PRIVATE = "SELECT bool_or(is_private) FROM graph_state"


async def test_near_copies_hear_of_a_change_before_it_is_committed() -> None:
    """A copy that is read after the commit is never taken for current."""
    logs: list[WitnessedLog] = []
    marks: list[WitnessedMarks] = []

    def log_of(pool: Pool, cache: Valkey) -> ChangeLog:
        logs.append(WitnessedLog(pool, cache))
        return logs[0]

    def marks_of(pool: Pool, cache: Valkey) -> VersionMarks:
        marks.append(WitnessedMarks(pool, cache))
        return marks[0]

    async with graph_stores(log_of=log_of, marks_of=marks_of) as stores:
        ann = await stores.person()
        change = ProfileChange(is_private=True)
        await stores.users.update(ann, change, etag="", accept_limit=1)

        assert logs[0].seen == [False, True]
        assert marks[0].seen == [("begin", False), ("settle", True)]
