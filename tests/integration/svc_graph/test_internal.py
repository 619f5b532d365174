"""The RPCs of GraphService that other services and administrators call."""

from pathlib import Path

from feedmesh.graph.v1 import graph_pb2

from chassis.auth import Caller, Role, calling_as
from chassis.clock import SystemClock
from chassis.errors import PermissionDenied
from chassis.testing import refuses

from tests.support.graph import CELEBRITY_THRESHOLD, GraphRoom, acting, graph_room

ADMIN = Caller(user_id=1, role=Role.ADMIN)
SERVICE = Caller(role=Role.SERVICE, service="importer")

AUDITED = "SELECT who, outcome FROM audit WHERE what = 'counters.repair' ORDER BY id"


async def reach(room: GraphRoom, user: int) -> graph_pb2.GetReachResponse:
    return await room.internal.GetReach(graph_pb2.GetReachRequest(user_id=user))


async def reconcile(
    room: GraphRoom, *, after: int = 0, size: int = 0, repair: bool = False
) -> graph_pb2.ReconcileCountersResponse:
    return await room.graph.ReconcileCounters(
        graph_pb2.ReconcileCountersRequest(
            after_user_id=after, page_size=size, repair=repair
        )
    )


async def bring(room: GraphRoom, fans: list[int], star: int) -> None:
    with calling_as(SERVICE):
        await room.graph.ImportFollows(
            graph_pb2.ImportFollowsRequest(
                follower_ids=fans, followee_ids=[star] * len(fans)
            )
        )


async def unfollow(room: GraphRoom, fan: int, star: int) -> int:
    with acting(fan):
        answer = await room.graph.Unfollow(graph_pb2.UnfollowRequest(user_id=star))
    return answer.graph_version


async def test_whom_somebody_follows_is_streamed(tmp_path: Path) -> None:
    """In pages ascending, since when, and who is pulled; on from an id."""
    async with graph_room(tmp_path) as room:
        ann, bob, cid, star, *fans = await room.sign_ups(CELEBRITY_THRESHOLD + 4)
        await bring(room, fans, star)
        before = SystemClock().now().timestamp() * 1000
        for followee in (star, cid, bob):
            await room.follow(ann, followee)
        whole, rest = [
            [
                page
                async for page in room.internal.StreamFollowing(
                    graph_pb2.StreamFollowingRequest(
                        user_id=ann, page_size=2, after_user_id=after
                    )
                )
            ]
            for after in (0, bob)
        ]

        assert [list(page.followee_ids) for page in whole] == [[bob, cid], [star]]
        assert [list(page.are_celebrities) for page in whole] == [
            [False, False],
            [True],
        ]
        times = [time for page in whole for time in page.follow_times_ms]
        assert times == sorted(times, reverse=True)
        assert int(before) <= times[-1] <= SystemClock().now().timestamp() * 1000
        assert [list(page.followee_ids) for page in rest] == [[cid, star]]


async def test_a_reach_changes_by_and_by(tmp_path: Path) -> None:
    """Pulled alone; pulled and fanned out; and, once that is completed, fanned out."""
    async with graph_room(tmp_path) as room:
        star, *fans = await room.sign_ups(CELEBRITY_THRESHOLD + 1)
        await bring(room, fans, star)
        await room.follow(star, fans[0])
        pulled = await reach(room, star)
        versions = [await unfollow(room, fan, star) for fan in fans[:2]]
        leaving = await reach(room, star)
        completed = [
            await room.internal.CompleteReachChange(
                graph_pb2.CompleteReachChangeRequest(
                    user_id=star, reach_version=version
                )
            )
            for version in versions
        ]

        assert pulled == graph_pb2.GetReachResponse(
            follower_count=CELEBRITY_THRESHOLD, following_count=1, is_celebrity=True
        )
        expected = graph_pb2.GetReachResponse(
            follower_count=CELEBRITY_THRESHOLD - 2,
            following_count=1,
            is_celebrity=True,
            is_fanned_out=True,
        )
        assert leaving == expected
        assert [one.is_completed for one in completed] == [False, True]
        expected.is_celebrity = False
        assert await reach(room, star) == expected


async def test_counters_are_reconciled_page_by_page(tmp_path: Path) -> None:
    """What differs is told, and stored when asked for; the trail says by whom."""
    async with graph_room(tmp_path) as room:
        ann, bob, cid = await room.sign_ups(3)
        await room.follow(ann, bob)
        await room.pool.execute("UPDATE graph_state SET follower_count = 4")
        with calling_as(ADMIN):
            first = await reconcile(room, size=2)
            rest = await reconcile(room, after=first.last_user_id, size=2)
            repaired = await reconcile(room, repair=True)
            again = await reconcile(room, repair=True)

        drifts = [
            graph_pb2.CounterDrift(
                user_id=user, counter="follower_count", stored=4, counted=counted
            )
            for user, counted in ((ann, 0), (bob, 1), (cid, 0))
        ]
        assert first == graph_pb2.ReconcileCountersResponse(
            checked_count=2, drifts=drifts[:2], last_user_id=bob
        )
        assert rest == graph_pb2.ReconcileCountersResponse(
            checked_count=1, drifts=drifts[2:]
        )
        assert repaired == graph_pb2.ReconcileCountersResponse(
            checked_count=3, drifts=drifts
        )
        assert again == graph_pb2.ReconcileCountersResponse(checked_count=3)
        rows = await room.pool.fetch(AUDITED)
        assert [tuple(row) for row in rows] == [("user:1", "OK")]


async def test_counters_are_counted_in_steps(tmp_path: Path) -> None:
    """More people than one statement counts are one page all the same."""
    async with graph_room(tmp_path) as room:
        users = [graph_pb2.ImportedUser(handle=f"many{n}") for n in range(250)]
        with calling_as(SERVICE):
            await room.graph.ImportUsers(graph_pb2.ImportUsersRequest(users=users))
            await room.pool.execute("UPDATE graph_state SET following_count = 1")
            page = await reconcile(room, size=201, repair=True)
            rest = await reconcile(room, after=page.last_user_id)

        assert (page.checked_count, len(page.drifts)) == (201, 201)
        assert (rest.checked_count, len(rest.drifts)) == (49, 49)


async def test_counters_are_for_administrators(tmp_path: Path) -> None:
    """Nobody else reads drifts or repairs."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        with acting(ann), refuses(PermissionDenied, "AUDIENCE_DENIED"):
            await reconcile(room, repair=True)
