"""GraphService over real gRPC and real engines."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from feedmesh.graph.v1 import graph_pb2, user_pb2

from chassis.auth import Caller, Role, calling_as
from chassis.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from chassis.testing import refuses

from tests.support.graph import GraphRoom, acting, graph_room, ids_of

SERVICE = Caller(role=Role.SERVICE, service="importer")

# Every way to act on somebody else, by name.
MUTATIONS: dict[str, Callable[[GraphRoom, int], Awaitable[object]]] = {
    "Unfollow": lambda room, user: room.graph.Unfollow(
        graph_pb2.UnfollowRequest(user_id=user)
    ),
    "Block": lambda room, user: room.graph.Block(graph_pb2.BlockRequest(user_id=user)),
    "Unblock": lambda room, user: room.graph.Unblock(
        graph_pb2.UnblockRequest(user_id=user)
    ),
    "Mute": lambda room, user: room.graph.Mute(graph_pb2.MuteRequest(user_id=user)),
    "Unmute": lambda room, user: room.graph.Unmute(
        graph_pb2.UnmuteRequest(user_id=user)
    ),
}


async def followers(
    room: GraphRoom, user: int, *, size: int = 0, token: str = ""
) -> graph_pb2.ListFollowersResponse:
    return await room.graph.ListFollowers(
        graph_pb2.ListFollowersRequest(user_id=user, page_size=size, page_token=token)
    )


async def test_following_twice_changes_nothing(tmp_path: Path) -> None:
    """The same state and the same version."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        first = await room.follow(ann, bob)
        second = await room.follow(ann, bob)

        assert first == second
        assert first.state == graph_pb2.FOLLOW_STATE_FOLLOWING
        assert (await room.relation(bob, ann)).is_followed_by


async def test_a_mutation_is_in_relations_of_its_version(tmp_path: Path) -> None:
    """Whoever asks after the answer reads at least that version."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        version = (await room.follow(ann, bob)).graph_version
        for viewer, other in ((ann, bob), (bob, ann)):
            answer = await room.internal.GetRelations(
                graph_pb2.GetRelationsRequest(viewer_id=viewer, user_ids=[other])
            )
            assert answer.graph_version == version > 0


async def test_a_private_account_is_asked(tmp_path: Path) -> None:
    """A request until the owner approves; then a follow."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up(private=True)
        bob, cid = await room.sign_ups(2)
        for fan in (bob, cid):
            answer = await room.follow(fan, ann)
            assert answer.state == graph_pb2.FOLLOW_STATE_REQUESTED
        with acting(ann):
            asked = await room.graph.ListFollowRequests(
                graph_pb2.ListFollowRequestsRequest()
            )
            await room.graph.ApproveFollower(
                graph_pb2.ApproveFollowerRequest(user_id=bob)
            )
            await room.graph.DenyFollower(graph_pb2.DenyFollowerRequest(user_id=cid))
            for fan in (bob, cid):
                with refuses(NotFound, "FOLLOW_REQUEST_NOT_FOUND"):
                    await room.graph.ApproveFollower(
                        graph_pb2.ApproveFollowerRequest(user_id=fan)
                    )

        assert ids_of(asked.users) == [cid, bob]
        assert (await room.relation(bob, ann)).is_following
        assert not (await room.relation(cid, ann)).is_following


async def test_unfollowing_takes_a_request_back(tmp_path: Path) -> None:
    """Nothing is left for the owner to approve."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_up(private=True), await room.sign_up()
        await room.follow(bob, ann)
        with acting(bob):
            await room.graph.Unfollow(graph_pb2.UnfollowRequest(user_id=ann))
            await room.graph.Unfollow(graph_pb2.UnfollowRequest(user_id=ann))

        with acting(ann), refuses(NotFound, "FOLLOW_REQUEST_NOT_FOUND"):
            await room.graph.ApproveFollower(
                graph_pb2.ApproveFollowerRequest(user_id=bob)
            )


async def test_a_block_ends_everything_between_two(tmp_path: Path) -> None:
    """Follows both ways; following is refused both ways; unblocking brings nothing."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        await room.follow(ann, bob)
        await room.follow(bob, ann)
        await room.block(ann, bob)
        relation = await room.relation(bob, ann)
        for one, two in ((ann, bob), (bob, ann)):
            with refuses(FailedPrecondition, "FOLLOW_REFUSED"):
                await room.follow(one, two)
        with acting(ann):
            await room.graph.Unblock(graph_pb2.UnblockRequest(user_id=bob))

        assert relation.is_blocked_by
        assert not relation.is_following
        assert not relation.is_followed_by
        assert not (await room.relation(ann, bob)).is_following
        await room.follow(bob, ann)


async def test_two_who_block_each_other_can_each_unblock(tmp_path: Path) -> None:
    """One's own block can be ended whoever else blocks."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        await room.block(ann, bob)
        with acting(bob), refuses(NotFound, "USER_NOT_FOUND"):
            await room.graph.Block(graph_pb2.BlockRequest(user_id=ann))
        with acting(ann):
            listed = await room.graph.ListBlocks(graph_pb2.ListBlocksRequest())
            await room.graph.Unblock(graph_pb2.UnblockRequest(user_id=bob))

        assert ids_of(listed.users) == [bob]
        assert not (await room.relation(ann, bob)).is_blocking


async def test_a_mute_is_the_muters_alone(tmp_path: Path) -> None:
    """The other loses nothing; a mute with an end has it; unmuting ends it."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        await room.follow(ann, bob)
        with acting(ann):
            await room.graph.Mute(graph_pb2.MuteRequest(user_id=bob))
            muting = await room.relation(ann, bob)
            listed = await room.graph.ListMutes(graph_pb2.ListMutesRequest())
            past = Timestamp()
            past.FromDatetime(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=1))
            await room.graph.Mute(graph_pb2.MuteRequest(user_id=bob, expire_time=past))

        assert muting.is_muting
        assert muting.is_following
        assert not (await room.relation(bob, ann)).is_muting
        assert ids_of(listed.users) == [bob]
        assert not (await room.relation(ann, bob)).is_muting


@pytest.mark.parametrize("name", MUTATIONS)
async def test_acting_on_nobody_or_oneself_is_refused(
    tmp_path: Path, name: str
) -> None:
    """The missing and whoever blocks the caller look alike."""
    async with graph_room(tmp_path) as room:
        ann, blocker = await room.sign_ups(2)
        await room.block(blocker, ann)
        with acting(ann):
            with refuses(InvalidArgument, "SELF_TARGET"):
                await MUTATIONS[name](room, ann)
            for nobody in (5, blocker):
                with refuses(NotFound, "USER_NOT_FOUND"):
                    await MUTATIONS[name](room, nobody)


async def test_following_nobody_or_oneself_is_refused(tmp_path: Path) -> None:
    """Neither leaves a trace."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        with refuses(InvalidArgument, "SELF_TARGET"):
            await room.follow(ann, ann)
        with refuses(NotFound, "USER_NOT_FOUND"):
            await room.follow(ann, 5)

        assert await room.pool.fetchval("SELECT count(*) FROM follow") == 0


async def test_page_tokens_yield_everyone_once(tmp_path: Path) -> None:
    """Newest first, pages without gap or repeat, no token on the last."""
    async with graph_room(tmp_path) as room:
        ann, *fans = await room.sign_ups(6)
        for fan in fans:
            await room.follow(fan, ann)
        seen, token = [], ""
        with acting(fans[0]):
            while True:
                page = await followers(room, ann, size=2, token=token)
                seen += ids_of(page.users)
                token = page.next_page_token
                if not token:
                    break

        assert seen == fans[::-1]


async def test_foreign_page_tokens_are_refused(tmp_path: Path) -> None:
    """A token is for its reader and its list."""
    async with graph_room(tmp_path) as room:
        ann, bob, *fans = await room.sign_ups(5)
        for fan in fans:
            await room.follow(fan, ann)
            await room.follow(fan, bob)
        with acting(bob):
            token = (await followers(room, ann, size=1)).next_page_token
            with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
                await followers(room, bob, size=1, token=token)
            with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
                await room.graph.ListFollowing(
                    graph_pb2.ListFollowingRequest(user_id=ann, page_token=token)
                )
        with acting(ann), refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
            await followers(room, ann, size=1, token=token)


async def test_private_lists_are_for_followers(tmp_path: Path) -> None:
    """The owner and followers read them; to others they are nobody's."""
    async with graph_room(tmp_path) as room:
        ann, fan, other = await room.sign_ups(3)
        await room.follow(fan, ann)
        with acting(ann):
            await room.users.UpdateUser(
                user_pb2.UpdateUserRequest(
                    user=user_pb2.User(user_id=ann, is_private=True)
                )
            )
        for reader in (ann, fan):
            with acting(reader):
                assert ids_of((await followers(room, ann)).users) == [fan]
        with acting(other), refuses(NotFound, "USER_NOT_FOUND"):
            await followers(room, ann)


async def test_relations_are_for_services(tmp_path: Path) -> None:
    """No person, whatever their role, asks for somebody else's relations."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        request = graph_pb2.GetRelationsRequest(viewer_id=ann, user_ids=[ann])
        for role in (Role.USER, Role.ADMIN):
            caller = Caller(user_id=ann, role=role)
            with calling_as(caller), refuses(PermissionDenied, "AUDIENCE_DENIED"):
                await room.graph.GetRelations(request)


async def test_an_import_reaches_fan_out(tmp_path: Path) -> None:
    """Users by handle in order, follows as a batch, a stream of followers."""
    async with graph_room(tmp_path) as room:
        users = [graph_pb2.ImportedUser(handle=f"fb{n}") for n in range(12)]
        with calling_as(SERVICE):
            made = await room.graph.ImportUsers(
                graph_pb2.ImportUsersRequest(users=users)
            )
            star, *fans = made.user_ids
            imported = await room.graph.ImportFollows(
                graph_pb2.ImportFollowsRequest(
                    follower_ids=[*fans, star, fans[0]],
                    followee_ids=[*[star] * len(fans), star, star],
                )
            )
            again = await room.graph.ImportUsers(
                graph_pb2.ImportUsersRequest(users=users[::-1])
            )
        pages = [
            list(page.follower_ids)
            async for page in room.internal.StreamFollowers(
                graph_pb2.StreamFollowersRequest(user_id=star, page_size=5)
            )
        ]
        reach = await room.internal.GetReach(graph_pb2.GetReachRequest(user_id=star))
        stars = await room.internal.ListFollowedCelebrities(
            graph_pb2.ListFollowedCelebritiesRequest(viewer_id=fans[0])
        )

        assert (made.created_count, again.created_count) == (12, 0)
        assert list(again.user_ids) == list(made.user_ids)[::-1]
        assert imported.created_count == 11
        assert [len(page) for page in pages] == [5, 5, 1]
        assert sum(pages, []) == sorted(fans)  # noqa: RUF017 - a dozen
        assert (reach.follower_count, reach.is_celebrity) == (11, True)
        assert list(stars.user_ids) == [star]


async def test_an_import_of_unequal_columns_is_refused(tmp_path: Path) -> None:
    """Every follower needs a followee."""
    async with graph_room(tmp_path) as room:
        with calling_as(SERVICE), refuses(InvalidArgument, "VALIDATION_FAILED"):
            await room.graph.ImportFollows(
                graph_pb2.ImportFollowsRequest(follower_ids=[1, 2], followee_ids=[3])
            )
