"""Rules of Celebrities: who is pulled, since when, and until when."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from svc_graph.model import Reach, UserId, Version
from tests.support.graph import CELEBRITY_GRACE, CELEBRITY_THRESHOLD, GraphStores

GRACE_SECONDS = CELEBRITY_GRACE.total_seconds()
PULLED = "SELECT count(*) FROM celebrity"
LEFT = CELEBRITY_THRESHOLD * 9 // 10 - 1


class ReachContract:
    """Rules every Celebrities keeps. Subclasses say how to open empty stores."""

    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        raise NotImplementedError

    async def test_the_threshold_makes_a_celebrity(self) -> None:
        """From then on pulled; fanned out as well until the grace is over."""
        async with self.open() as stores:
            ann, *fans = await stores.people(CELEBRITY_THRESHOLD + 1)
            for fan in fans[:-1]:
                await stores.follow(fan, ann)
            below = await stores.reach(ann)
            await stores.follow(fans[-1], ann)
            entered = await stores.reach(ann)
            stores.clock.advance(GRACE_SECONDS - 1)
            within = await stores.reach(ann)
            stores.clock.advance(1)
            after = await stores.reach(ann)

            assert below == Reach(CELEBRITY_THRESHOLD - 1, 0, False, True)
            assert entered == within == Reach(CELEBRITY_THRESHOLD, 0, True, True)
            assert after == Reach(CELEBRITY_THRESHOLD, 0, True, False)
            assert await told(stores, ann) == [True]

    async def test_a_celebrity_is_one_until_well_below(self) -> None:
        """Not by one follower less; below nine tenths it is told, and since when."""
        async with self.open() as stores:
            ann, fans = await celebrity(stores)
            since = stores.clock.now()
            stores.clock.advance(1000)
            await unfollow(stores, fans[0], ann)
            still = await stores.reach(ann)
            await unfollow(stores, fans[1], ann)
            [_, left] = await stores.reach_changes(ann)

            assert still == Reach(CELEBRITY_THRESHOLD - 1, 0, True, False)
            assert not left.is_celebrity
            assert left.pulled_since.ToJsonString() == since.isoformat().replace(
                "+00:00", "Z"
            )

    async def test_who_leaves_is_pulled_until_that_is_completed(self) -> None:
        """Fanned out and pulled both, then fanned out alone; told twice is once."""
        async with self.open() as stores:
            ann, fans = await celebrity(stores)
            stores.clock.advance(1000)
            version = await leave(stores, ann, fans)
            leaving = await stores.reach(ann)
            pulled = await stores.relations.followed_celebrities(fans[-1])
            answers = [await stores.celebrities.complete(ann, version) for _ in "12"]

            assert leaving == Reach(LEFT, 0, True, True)
            assert pulled == [ann]
            assert answers == [True, True]
            assert await stores.reach(ann) == Reach(LEFT, 0, False, True)
            assert await stores.relations.followed_celebrities(fans[-1]) == []

    async def test_only_the_last_change_is_completed(self) -> None:
        """Another version, or one from before a return, completes nothing."""
        async with self.open() as stores:
            ann, fans = await celebrity(stores)
            in_place = await stores.celebrities.complete(ann, Version(1))
            version = await leave(stores, ann, fans)
            other = await stores.celebrities.complete(ann, Version(version + 1))
            stores.clock.advance(1000)
            await come_back(stores, ann, fans)
            late = await stores.celebrities.complete(ann, version)

            assert (in_place, other, late) == (False, False, False)
            assert await stores.reach(ann) == Reach(CELEBRITY_THRESHOLD, 0, True, True)

    async def test_who_comes_back_has_a_grace_anew(self) -> None:
        """And when leaving again, has been pulled since the first time."""
        async with self.open() as stores:
            ann, fans = await celebrity(stores)
            stores.clock.advance(1000)
            await leave(stores, ann, fans)
            await come_back(stores, ann, fans)
            anew = await stores.reach(ann)
            stores.clock.advance(GRACE_SECONDS)
            over = await stores.reach(ann)
            await leave(stores, ann, fans)
            changes = await stores.reach_changes(ann)

            assert (anew.is_fanned_out, over.is_fanned_out) == (True, False)
            assert [change.is_celebrity for change in changes] == [
                True,
                False,
                True,
                False,
            ]
            assert changes[3].pulled_since == changes[1].pulled_since

    async def test_bulk_writes_know_no_grace(self) -> None:
        """An imported celebrity is not fanned out at once, and none is told."""
        async with self.open() as stores:
            ann, *fans = await stores.people(CELEBRITY_THRESHOLD + 1)
            await stores.imports.add_follows([(fan, ann) for fan in fans], who="test")

            assert await stores.reach(ann) == Reach(CELEBRITY_THRESHOLD, 0, True, False)
            assert await told(stores, ann) == []

    async def test_an_imported_celebrity_was_pulled_from_the_first_post(self) -> None:
        """Leaving, it says so with a time that no post is older than."""
        async with self.open() as stores:
            ann, *fans = await stores.people(CELEBRITY_THRESHOLD + 1)
            await stores.imports.add_follows([(fan, ann) for fan in fans], who="test")
            await leave(stores, ann, fans)
            [left] = await stores.reach_changes(ann)

            assert left.pulled_since.ToJsonString() == "2025-01-01T00:00:00Z"

    async def test_who_comes_back_in_bulk_is_told(self) -> None:
        """The other rooms heard that they leave."""
        async with self.open() as stores:
            ann, fans = await celebrity(stores)
            version = await leave(stores, ann, fans)
            await stores.imports.add_follows([(fan, ann) for fan in fans], who="test")

            assert await told(stores, ann) == [True, False, True]
            assert not await stores.celebrities.complete(ann, version)

    async def test_a_recount_follows_the_counts(self) -> None:
        """Whoever has the followers enters, untold; whoever has not leaves, told."""
        async with self.open() as stores:
            ann, bob, cid, *fans = await stores.people(CELEBRITY_THRESHOLD + 3)
            await stores.imports.add_follows([(fan, ann) for fan in fans], who="test")
            await stores.pool.execute("DELETE FROM celebrity")
            await stores.pool.execute(
                "INSERT INTO celebrity VALUES ($1), ($2), (5)", bob, cid
            )
            await stores.standing.delete(cid, who="cid", edge_limit=1)
            await stores.celebrities.recount()
            once = await told(stores, ann), await told(stores, bob)
            await stores.celebrities.recount()

            assert once == ([], [False])
            assert (await told(stores, ann), await told(stores, bob)) == once
            assert not (await stores.reach(ann)).is_fanned_out
            assert await stores.reach(bob) == Reach(0, 0, True, True)
            rows = await stores.pool.fetch("SELECT user_id FROM celebrity ORDER BY 1")
            assert [row[0] for row in rows] == [ann, bob]

    async def test_the_deleted_are_pulled_by_nobody(self) -> None:
        """However many follows there are still to be erased."""
        async with self.open() as stores:
            ann, _ = await celebrity(stores)
            for fan in await stores.people(2):
                await stores.follow(fan, ann)
            await stores.standing.delete(ann, who="ann", edge_limit=1)
            at_once = await stores.pool.fetchval(PULLED)
            await stores.sweeps.erase_edges(ann, limit=1)
            await stores.celebrities.recount()

            assert (at_once, await stores.pool.fetchval(PULLED)) == (0, 0)
            assert await told(stores, ann) == [True]

    async def test_near_copies_hear_of_every_change_of_reach(self) -> None:
        """Before and after the commit: entering, leaving, completing; bulk too."""
        async with self.open() as stores:
            ann, fans = await celebrity(stores)
            entered = await stores.logged()
            version = await leave(stores, ann, fans)
            left = await stores.logged()
            await stores.celebrities.complete(ann, version)
            completed = await stores.logged()
            await stores.celebrities.complete(ann, version)
            await stores.imports.add_follows([(fan, ann) for fan in fans], who="test")

            assert [len(log) for log in (entered, left, completed)] == [2, 4, 6]
            assert await stores.logged() == [f"c:{ann}"] * 8

    async def test_follows_in_parallel_cross_in_order(self) -> None:
        """Around the threshold, each crossing is told once, in the order of versions.

        What is told follows from the counts that the follows themselves tell, and the
        state in the end from the count in the end.
        """
        async with self.open() as stores:
            ann, *fans = await stores.people(CELEBRITY_THRESHOLD + 3)
            stay, come_and_go = fans[: LEFT - 1], fans[LEFT - 1 :]
            for fan in stay:
                await stores.follow(fan, ann)
            dice = random.Random(11)
            done = asyncio.Event()

            async def complete() -> None:
                while not done.is_set():
                    for change in await stores.reach_changes(ann):
                        if not change.is_celebrity:
                            version = Version(change.envelope.aggregate_version)
                            await stores.celebrities.complete(ann, version)

            async with asyncio.TaskGroup() as group:
                group.create_task(complete())
                async with asyncio.TaskGroup() as fan_group:
                    for fan in come_and_go:
                        times = dice.randint(15, 25)
                        fan_group.create_task(toggle(stores, fan, ann, times))
                done.set()

            crossings = await crossed(stores, ann)
            assert len(crossings) > 2
            changes = await stores.reach_changes(ann)
            assert [
                (change.envelope.aggregate_version, change.is_celebrity)
                for change in changes
            ] == crossings
            if not crossings[-1][1]:
                await stores.celebrities.complete(ann, Version(crossings[-1][0]))
            assert (await stores.reach(ann)).is_celebrity == crossings[-1][1]
            assert (await stores.counts(ann))[0] == await stores.pool.fetchval(
                "SELECT count(*) FROM follow WHERE followee_id = $1", ann
            )


async def celebrity(stores: GraphStores) -> tuple[UserId, list[UserId]]:
    """Somebody with exactly as many followers as it takes, and these."""
    user, *fans = await stores.people(CELEBRITY_THRESHOLD + 1)
    for fan in fans:
        await stores.follow(fan, user)
    return user, fans


async def unfollow(stores: GraphStores, follower: UserId, followee: UserId) -> Version:
    async with stores.edges.pair(follower, followee) as pair:
        await pair.end_follow(follower, followee)
    return pair.version


async def toggle(
    stores: GraphStores, follower: UserId, followee: UserId, times: int
) -> None:
    for _ in range(times):
        async with stores.edges.pair(follower, followee) as pair:
            if pair.ties.is_following:
                await pair.end_follow(follower, followee)
            else:
                await pair.add_follow(follower, followee)


async def leave(stores: GraphStores, user: UserId, fans: Sequence[UserId]) -> Version:
    """As many leave as it takes; the version by which the user is no celebrity."""
    await unfollow(stores, fans[0], user)
    return await unfollow(stores, fans[1], user)


async def come_back(stores: GraphStores, user: UserId, fans: Sequence[UserId]) -> None:
    for fan in fans[:2]:
        await stores.follow(fan, user)


async def told(stores: GraphStores, user: UserId) -> list[bool]:
    """What the other rooms heard of somebody's reach."""
    return [change.is_celebrity for change in await stores.reach_changes(user)]


async def crossed(stores: GraphStores, user: UserId) -> list[tuple[int, bool]]:
    """Versions at which the follows that were told crossed the threshold."""
    count, is_celebrity, crossings = 0, False, []
    for version, by in await stores.follows_told(user):
        count += by
        if not is_celebrity and count >= CELEBRITY_THRESHOLD:
            is_celebrity = True
            crossings.append((version, True))
        elif is_celebrity and count <= LEFT:
            is_celebrity = False
            crossings.append((version, False))
    return crossings
