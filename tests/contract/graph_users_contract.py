"""Rules of Users and Sweeps."""

from contextlib import AbstractAsyncContextManager

from chassis.errors import Aborted, AlreadyExists, NotFound
from chassis.testing import refuses

from svc_graph.model import (
    NOBODY,
    NewUser,
    Position,
    ProfileChange,
    RequestKey,
    UserId,
    UserState,
    Version,
)
from tests.support.graph import GraphStores

ANN = NewUser(UserId(4_194_304), "ann", "Ann")
NEWEST = Position(Version(2**63 - 1), UserId(2**63 - 1))


def request(digest: bytes = b"one") -> RequestKey:
    return RequestKey(NOBODY, "CreateUser", "key", digest)


class UsersContract:
    """Rules every Users and Sweeps keeps. Subclasses open empty stores."""

    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        raise NotImplementedError

    async def test_a_handle_is_taken_once(self) -> None:
        """The second with a handle is refused, and leaves nothing behind."""
        async with self.open() as stores:
            await stores.users.create(ANN, password_hash="x", request=None)
            other = NewUser(UserId(8_388_608), "ann", "Other")
            with refuses(AlreadyExists, "HANDLE_TAKEN"):
                await stores.users.create(other, password_hash="x", request=None)

            assert (await stores.users.profiles([other.user_id], reader=NOBODY)) == []

    async def test_a_request_key_answers_the_same_account(self) -> None:
        """A repeat makes nothing; the same key with other fields is refused."""
        async with self.open() as stores:
            first = await stores.users.create(ANN, password_hash="x", request=request())
            again = NewUser(UserId(8_388_608), "ann", "Ann")
            second = await stores.users.create(
                again, password_hash="y", request=request()
            )
            with refuses(Aborted, "REQUEST_ID_CONFLICT"):
                await stores.users.create(
                    again, password_hash="y", request=request(b"two")
                )

            assert second.user == first.user
            assert (first.is_replay, second.is_replay) == (False, True)

    async def test_an_update_changes_what_it_names(self) -> None:
        """Other fields stay; the etag, the version and the event follow."""
        async with self.open() as stores:
            user = (
                await stores.users.create(ANN, password_hash="x", request=None)
            ).user
            changed = await stores.users.update(
                user.user_id, ProfileChange(bio="hi"), etag=user.etag, accept_limit=9
            )

            assert changed.user.bio == "hi"
            assert changed.user.display_name == "Ann"
            assert changed.user.etag != user.etag
            assert changed.version > 0
            assert await stores.published() == ["user_updated"]

    async def test_a_stale_etag_changes_nothing(self) -> None:
        """Only who read the present profile changes it."""
        async with self.open() as stores:
            user = (
                await stores.users.create(ANN, password_hash="x", request=None)
            ).user
            change = ProfileChange(bio="hi")
            await stores.users.update(
                user.user_id, change, etag=user.etag, accept_limit=9
            )
            with refuses(Aborted, "ETAG_MISMATCH"):
                await stores.users.update(
                    user.user_id,
                    ProfileChange(bio="ho"),
                    etag=user.etag,
                    accept_limit=9,
                )

            [profile] = await stores.users.profiles([user.user_id], reader=NOBODY)
            assert profile.user.bio == "hi"

    async def test_saying_the_same_changes_nothing(self) -> None:
        """No new value: no event, the same etag."""
        async with self.open() as stores:
            user = (
                await stores.users.create(ANN, password_hash="x", request=None)
            ).user
            changed = await stores.users.update(
                user.user_id, ProfileChange(display_name="Ann"), etag="", accept_limit=9
            )

            assert changed.user == user
            assert await stores.published() == []

    async def test_going_public_accepts_requests(self) -> None:
        """Up to the limit at once; the sweep accepts the rest, in steps."""
        async with self.open() as stores:
            ann = await stores.person(private=True)
            fans = await stores.people(5)
            for fan in fans:
                async with stores.edges.pair(fan, ann) as pair:
                    await pair.add_request(fan, ann)
            change = ProfileChange(is_private=False)
            await stores.users.update(ann, change, etag="", accept_limit=2)
            at_once = await stores.counts(ann)
            steps = []
            while step := await stores.sweeps.accept_requests(ann, limit=2):
                steps.append(step)

            assert at_once == (2, 0)
            assert steps == [2, 1]
            assert await stores.counts(ann) == (5, 0)
            assert (await stores.published()).count("user_followed") == 5

    async def test_a_private_account_accepts_nobody(self) -> None:
        """A sweep that comes too late leaves the requests alone."""
        async with self.open() as stores:
            ann = await stores.person(private=True)
            bob = await stores.person()
            async with stores.edges.pair(bob, ann) as pair:
                await pair.add_request(bob, ann)

            assert await stores.sweeps.accept_requests(ann, limit=9) == 0
            assert len(await stores.listings.requests(ann, limit=9, after=NEWEST)) == 1

    async def test_who_blocks_the_reader_is_left_out(self) -> None:
        """The blocked do not see the blocker; the blocker still sees them."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.block(ann, bob)

            assert await stores.users.profiles([ann], reader=bob) == []
            assert len(await stores.users.profiles([bob], reader=ann)) == 1

    async def test_a_suspension_hides_and_ends_sessions(self) -> None:
        """Twice is once; reinstating shows the account again."""
        async with self.open() as stores:
            ann = await stores.person()
            for _ in range(2):
                await stores.standing.suspend(
                    ann, who="admin", reason="spam", now=stores.clock.now()
                )
            hidden = await stores.users.profiles([ann], reader=NOBODY)
            state = (await stores.relation(NOBODY, ann)).state
            await stores.standing.reinstate(ann, who="admin")
            changed = await stores.standing.reinstate(ann, who="admin")

            assert hidden == []
            assert state is UserState.SUSPENDED
            assert changed.user.state is UserState.ACTIVE
            assert await stores.published() == ["user_suspended", "user_reinstated"]

    async def test_suspending_nobody_is_refused(self) -> None:
        """There is no such account, and none is made."""
        async with self.open() as stores:
            with refuses(NotFound, "USER_NOT_FOUND"):
                await stores.standing.suspend(
                    UserId(1), who="admin", reason="", now=stores.clock.now()
                )

    async def test_a_deletion_erases_profile_and_edges(self) -> None:
        """Nothing of the person is left but a tombstone; the others are recounted."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            await stores.follow(ann, bob)
            await stores.follow(bob, ann)
            await stores.follow(cid, ann)
            await stores.block(cid, bob)
            version = await stores.standing.delete(ann, who="ann", edge_limit=100)
            await stores.standing.delete(ann, who="ann", edge_limit=100)

            assert version > 0
            assert (await stores.relation(bob, ann)).state is UserState.DELETED
            assert not (await stores.relation(bob, ann)).is_following
            assert await stores.counts(bob) == (0, 0)
            assert await stores.counts(cid) == (0, 0)
            assert (await stores.published()).count("user_deleted") == 1
            for table in ("account", "credential", "follow_request", "mute"):
                assert await _rows_of(stores, table, ann) == 0

    async def test_a_large_deletion_is_finished_in_steps(self) -> None:
        """Beyond the limit the sweep ends the follows; until then nobody sees them."""
        async with self.open() as stores:
            ann, *fans = await stores.people(6)
            for fan in fans:
                await stores.follow(fan, ann)
            await stores.standing.delete(ann, who="ann", edge_limit=2)
            listed = await stores.listings.following(
                fans[-1], reader=fans[-1], limit=9, after=NEWEST
            )
            while await stores.sweeps.erase_edges(ann, limit=2):
                pass

            assert listed == []
            assert [await stores.counts(fan) for fan in fans] == [(0, 0)] * 5

    async def test_a_sweep_leaves_the_living_alone(self) -> None:
        """Only deleted accounts lose their edges."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.follow(ann, bob)

            assert await stores.sweeps.erase_edges(bob, limit=9) == 0
            assert await stores.counts(bob) == (1, 0)


async def _rows_of(stores: GraphStores, table: str, user: UserId) -> int:
    column = {"follow_request": "requester_id", "mute": "muter_id"}.get(
        table, "user_id"
    )
    sql = f"SELECT count(*) FROM {table} WHERE {column} = $1"  # noqa: S608 - fixed
    count: int = await stores.pool.fetchval(sql, user)
    return count
