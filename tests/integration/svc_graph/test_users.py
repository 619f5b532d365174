"""UserService over real gRPC and real engines."""

from pathlib import Path

from google.protobuf.field_mask_pb2 import FieldMask

from feedmesh.graph.v1 import graph_pb2, session_pb2, user_pb2

from chassis.auth import Caller, Role, calling_as
from chassis.errors import (
    Aborted,
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from chassis.testing import eventually, refuses

from tests.support.graph import PASSWORD, GraphRoom, acting, graph_room, ids_of

ADMIN = Caller(user_id=1, role=Role.ADMIN)


def new_user(handle: str, **fields: str) -> user_pb2.CreateUserRequest:
    return user_pb2.CreateUserRequest(handle=handle, **{"password": PASSWORD, **fields})


async def get(room: GraphRoom, user_id: int) -> user_pb2.User:
    answer = await room.users.GetUser(user_pb2.GetUserRequest(user_id=user_id))
    return answer.user


async def test_signing_up_makes_a_profile(tmp_path: Path) -> None:
    """The name is the handle when none is given; counts begin at zero."""
    async with graph_room(tmp_path) as room:
        made = (await room.users.CreateUser(new_user("ann"))).user
        found = await room.users.LookupUser(user_pb2.LookupUserRequest(handle="ANN"))

        assert found.user == made
        assert made.display_name == "ann"
        assert made.state == user_pb2.USER_STATE_ACTIVE
        assert (found.stats.follower_count, found.stats.following_count) == (0, 0)


async def test_a_repeat_with_its_request_id_answers_the_same(tmp_path: Path) -> None:
    """One account; another body under the same id is refused, password included."""
    async with graph_room(tmp_path) as room:
        first = await room.users.CreateUser(new_user("ann", request_id="r1"))
        again = await room.users.CreateUser(new_user("ann", request_id="r1"))
        with refuses(Aborted, "REQUEST_ID_CONFLICT"):
            await room.users.CreateUser(new_user("bob", request_id="r1"))
        with refuses(Aborted, "REQUEST_ID_CONFLICT"):
            await room.users.CreateUser(
                new_user("ann", request_id="r1", password="another one")
            )
        with refuses(AlreadyExists, "HANDLE_TAKEN"):
            await room.users.CreateUser(new_user("ann"))

        assert first == again


async def test_a_bad_handle_is_refused(tmp_path: Path) -> None:
    """The field and its rule come with the refusal."""
    async with graph_room(tmp_path) as room:
        with refuses(InvalidArgument, "VALIDATION_FAILED"):
            await room.users.CreateUser(new_user("Not A Handle"))


async def test_a_batch_keeps_its_order(tmp_path: Path) -> None:
    """Nobody, and who may not be seen, is left out; each has their own counts."""
    async with graph_room(tmp_path) as room:
        ann, bob, cid = await room.sign_ups(3)
        await room.follow(cid, ann)
        await room.follow(cid, bob)
        await room.block(bob, ann)
        with acting(ann):
            answer = await room.users.BatchGetUsers(
                user_pb2.BatchGetUsersRequest(user_ids=[cid, 5, bob, ann])
            )

        assert ids_of(answer.users) == [cid, ann]
        assert [
            (stats.follower_count, stats.following_count) for stats in answer.stats
        ] == [(0, 2), (1, 0)]


async def test_only_the_owner_changes_a_profile(tmp_path: Path) -> None:
    """Whoever the request names: the caller decides."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        request = user_pb2.UpdateUserRequest(user=user_pb2.User(user_id=bob, bio="x"))
        with acting(ann), refuses(PermissionDenied, "NOT_OWNER"):
            await room.users.UpdateUser(request)
        with refuses(Unauthenticated, "TOKEN_MISSING"):
            await room.users.UpdateUser(request)

        assert (await get(room, bob)).bio == ""


async def test_a_mask_names_what_changes(tmp_path: Path) -> None:
    """A named field takes its value, empty included; the others stay."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        with acting(ann):
            await room.users.UpdateUser(
                user_pb2.UpdateUserRequest(
                    user=user_pb2.User(user_id=ann, bio="hi", is_private=True)
                )
            )
            changed = await room.users.UpdateUser(
                user_pb2.UpdateUserRequest(
                    user=user_pb2.User(user_id=ann, is_private=False),
                    update_mask=FieldMask(paths=["bio"]),
                )
            )
            with refuses(InvalidArgument, "UPDATE_MASK_INVALID"):
                await room.users.UpdateUser(
                    user_pb2.UpdateUserRequest(
                        user=user_pb2.User(user_id=ann),
                        update_mask=FieldMask(paths=["handle"]),
                    )
                )

        assert changed.user.bio == ""
        assert changed.user.is_private


async def test_an_etag_guards_against_lost_updates(tmp_path: Path) -> None:
    """Who read an older profile is refused."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        etag = (await get(room, ann)).etag
        with acting(ann):
            request = user_pb2.UpdateUserRequest(
                user=user_pb2.User(user_id=ann, bio="one", etag=etag)
            )
            await room.users.UpdateUser(request)
            request.user.bio = "two"
            with refuses(Aborted, "ETAG_MISMATCH"):
                await room.users.UpdateUser(request)

        assert (await get(room, ann)).bio == "one"


async def test_going_public_turns_requests_into_follows(tmp_path: Path) -> None:
    """All of them, without being asked again."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up(private=True)
        fans = await room.sign_ups(3)
        for fan in fans:
            await room.follow(fan, ann)
        with acting(ann):
            await room.users.UpdateUser(
                user_pb2.UpdateUserRequest(
                    user=user_pb2.User(user_id=ann),
                    update_mask=FieldMask(paths=["is_private"]),
                )
            )

        for fan in fans:
            assert (await room.relation(fan, ann)).is_following


async def test_the_missing_and_the_hidden_look_alike(tmp_path: Path) -> None:
    """One answer for nobody, for a blocker, for the suspended, for the deleted."""
    async with graph_room(tmp_path) as room:
        ann, blocker, suspended, gone = await room.sign_ups(4)
        await room.block(blocker, ann)
        with calling_as(ADMIN):
            await room.users.SuspendUser(user_pb2.SuspendUserRequest(user_id=suspended))
        with acting(gone):
            await room.users.DeleteUser(user_pb2.DeleteUserRequest(user_id=gone))

        refusals = []
        for user_id in (5, blocker, suspended, gone):
            with acting(ann):
                try:
                    await get(room, user_id)
                except NotFound as error:
                    refusals.append((error.reason, error.message, error.metadata))
        assert refusals == [refusals[0]] * 4
        assert refusals[0][0] == "USER_NOT_FOUND"


async def test_whom_one_blocks_stays_visible(tmp_path: Path) -> None:
    """So that the block can be ended."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        await room.block(ann, bob)
        with acting(ann):
            assert (await get(room, bob)).user_id == bob


async def test_a_suspension_ends_all_that_a_person_could_do(tmp_path: Path) -> None:
    """No log-in, no refresh, no follow; reinstating gives it back."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        login = session_pb2.CreateSessionRequest(
            handle=await room.handle_of(ann), password=PASSWORD
        )
        session = (await room.sessions.CreateSession(login)).session
        with calling_as(ADMIN):
            await room.users.SuspendUser(user_pb2.SuspendUserRequest(user_id=ann))

        with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
            await room.sessions.CreateSession(login)
        with refuses(Unauthenticated, "REFRESH_TOKEN_INVALID"):
            await room.sessions.RefreshSession(
                session_pb2.RefreshSessionRequest(refresh_token=session.refresh_token)
            )
        with refuses(PermissionDenied, "ACCOUNT_SUSPENDED"):
            await room.follow(ann, bob)
        with calling_as(ADMIN):
            await room.users.ReinstateUser(user_pb2.ReinstateUserRequest(user_id=ann))
        await room.sessions.CreateSession(login)
        await room.follow(ann, bob)


async def test_moderation_is_for_administrators(tmp_path: Path) -> None:
    """A person may suspend nobody, and what was refused is audited once."""
    async with graph_room(tmp_path) as room:
        ann = await room.sign_up()
        with acting(ann), refuses(PermissionDenied, "AUDIENCE_DENIED"):
            await room.users.SuspendUser(user_pb2.SuspendUserRequest(user_id=ann))
        with calling_as(ADMIN), refuses(NotFound, "USER_NOT_FOUND"):
            await room.users.SuspendUser(user_pb2.SuspendUserRequest(user_id=5))

        rows = await room.pool.fetch("SELECT who, what, target, outcome FROM audit")
        assert [tuple(row) for row in rows] == [
            ("user:1", "user.suspend", "5", "USER_NOT_FOUND")
        ]


async def test_a_deleted_account_is_gone_at_once(tmp_path: Path) -> None:
    """Profile, edges and log-in; the handle is free again."""
    async with graph_room(tmp_path) as room:
        ann, bob = await room.sign_ups(2)
        handle = await room.handle_of(ann)
        await room.follow(bob, ann)
        with acting(bob), refuses(PermissionDenied, "NOT_OWNER"):
            await room.users.DeleteUser(user_pb2.DeleteUserRequest(user_id=ann))
        with acting(ann):
            await room.users.DeleteUser(user_pb2.DeleteUserRequest(user_id=ann))

        assert (await room.relation(bob, ann)).state == user_pb2.USER_STATE_DELETED
        with refuses(Unauthenticated, "CREDENTIALS_INVALID"):
            await room.sessions.CreateSession(
                session_pb2.CreateSessionRequest(handle=handle, password=PASSWORD)
            )
        await room.users.CreateUser(new_user(handle))


async def test_a_famous_account_is_erased_by_the_worker(tmp_path: Path) -> None:
    """More follows than one call erases: they end soon after, all counted."""
    async with graph_room(tmp_path) as room:
        star = await room.sign_up()
        with calling_as(ADMIN):
            fans = await import_fans(room, star, 2_400)
        with acting(star):
            await room.users.DeleteUser(user_pb2.DeleteUserRequest(user_id=star))

        async def erased() -> None:
            assert await room.pool.fetchval("SELECT count(*) FROM follow") == 0

        await eventually(erased, timeout=30)
        assert len(fans) == 2_400
        left = "SELECT count(*) FROM graph_state WHERE following_count <> 0"
        assert await room.pool.fetchval(left) == 0


async def import_fans(room: GraphRoom, star: int, number: int) -> list[int]:
    fans: list[int] = []
    for start in range(0, number, 800):
        users = [
            graph_pb2.ImportedUser(handle=f"fan{n}")
            for n in range(start, min(start + 800, number))
        ]
        made = await room.graph.ImportUsers(graph_pb2.ImportUsersRequest(users=users))
        await room.graph.ImportFollows(
            graph_pb2.ImportFollowsRequest(
                follower_ids=made.user_ids, followee_ids=[star] * len(users)
            )
        )
        fans += made.user_ids
    return fans
