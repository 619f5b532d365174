"""Rules of Counters."""

import asyncio
from contextlib import AbstractAsyncContextManager

from chassis.testing import eventually

from svc_graph.model import NOBODY, Checked, Drift, UserId
from tests.support.graph import CELEBRITY_THRESHOLD, GraphStores

SPOIL = """
UPDATE graph_state SET follower_count = $2, following_count = $3 WHERE user_id = $1
"""

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


class CountersContract:
    """Rules every Counters keeps. Subclasses say how to open empty stores."""

    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        raise NotImplementedError

    async def test_right_counts_are_no_drift(self) -> None:
        """However they came about."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            await stores.follow(ann, bob)
            await stores.imports.add_follows([(cid, bob), (bob, ann)], who="test")

            checked = await stores.counters.check(after=NOBODY, limit=9)
            assert checked == Checked(3, cid, [])
            assert await stores.counters.repair([ann, bob, cid], who="admin") == []
            assert await stores.audited() == []

    async def test_a_check_changes_nothing(self) -> None:
        """It says of whom which count is what, and should be what."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.follow(ann, bob)
            await stores.pool.execute(SPOIL, ann, 7, 0)
            checked = await stores.counters.check(after=NOBODY, limit=9)

            assert checked.drifts == [
                Drift(ann, "follower_count", 7, 0),
                Drift(ann, "following_count", 0, 1),
            ]
            assert await stores.counts(ann) == (7, 0)

    async def test_pages_join_without_gap(self) -> None:
        """In the order of ids; nobody is left after the last."""
        async with self.open() as stores:
            people = await stores.people(5)
            seen, after = [], NOBODY
            while True:
                checked = await stores.counters.check(after=after, limit=2)
                seen.append(checked.count)
                if not checked.count:
                    break
                after = checked.last

            assert seen == [2, 2, 1, 0]
            assert checked.last == after == people[-1]

    async def test_a_repair_stores_what_is_counted(self) -> None:
        """Only of those named; told as it was, audited, without a new version."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            await stores.follow(ann, bob)
            now = stores.clock.now()
            _, before = await stores.relations.of(ann, [bob], now=now)
            for user in (ann, bob, cid):
                await stores.pool.execute(SPOIL, user, 5, 5)
            drifts = await stores.counters.repair([ann, bob], who="admin")
            _, after = await stores.relations.of(ann, [bob], now=now)

            assert drifts == [
                Drift(ann, "follower_count", 5, 0),
                Drift(ann, "following_count", 5, 1),
                Drift(bob, "follower_count", 5, 1),
                Drift(bob, "following_count", 5, 0),
            ]
            assert await stores.counts(ann) == (0, 1)
            assert await stores.counts(bob) == (1, 0)
            assert await stores.counts(cid) == (5, 5)
            assert await stores.audited() == [("admin", "counters.repair", "OK")]
            assert before == after

    async def test_a_repair_waits_for_follows_under_way(self) -> None:
        """A follow that was begun is counted once, by itself or by the repair."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.pool.execute(SPOIL, bob, 5, 0)

            async def is_waiting() -> None:
                assert await stores.pool.fetchval(WAITING) > 0

            async with (
                asyncio.TaskGroup() as group,
                stores.edges.pair(ann, bob) as pair,
            ):
                await pair.add_follow(ann, bob)
                group.create_task(stores.counters.repair([bob], who="admin"))
                await eventually(is_waiting)

            assert await stores.counts(bob) == (1, 0)

    async def test_the_reach_follows_a_repair(self) -> None:
        """Who has the followers after all enters, who has not leaves; told."""
        async with self.open() as stores:
            ann, bob, *fans = await stores.people(CELEBRITY_THRESHOLD + 2)
            for fan in fans:
                await stores.follow(fan, ann)
            await stores.celebrities.recount()
            await stores.pool.execute("DELETE FROM celebrity")
            await stores.pool.execute("INSERT INTO celebrity VALUES ($1)", bob)
            await self._spoil(stores, ann, followers=1)
            await self._spoil(stores, bob, followers=CELEBRITY_THRESHOLD)
            await stores.counters.repair([ann, bob], who="admin")

            assert (await stores.reach(ann)).is_celebrity
            [_, entered] = await stores.reach_changes(ann)
            [left] = await stores.reach_changes(bob)
            assert (entered.is_celebrity, left.is_celebrity) == (True, False)
            assert await stores.logged() == [f"c:{ann}"] * 2 + [
                *(f"c:{ann}", f"c:{bob}"),
                *(f"c:{ann}", f"c:{bob}"),
            ]

    async def _spoil(
        self, stores: GraphStores, user: UserId, *, followers: int
    ) -> None:
        await stores.pool.execute(SPOIL, user, followers, 0)
