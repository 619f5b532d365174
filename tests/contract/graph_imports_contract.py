"""Rules of Imports."""

import asyncio
import random
from contextlib import AbstractAsyncContextManager

from chassis.errors import NotFound
from chassis.testing import refuses

from svc_graph.model import NewUser, UserId
from tests.support.graph import GraphStores


class ImportsContract:
    """Rules every Imports keeps. Subclasses say how to open empty stores."""

    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        raise NotImplementedError

    async def test_handles_that_exist_keep_their_id(self) -> None:
        """A batch that comes again answers the same ids."""
        async with self.open() as stores:
            first = await stores.imports.add_users(
                [NewUser(UserId(11), "ann", "Ann"), NewUser(UserId(12), "bob", "Bob")],
                who="tool",
            )
            again = await stores.imports.add_users(
                [NewUser(UserId(21), "bob", "B"), NewUser(UserId(22), "cid", "Cid")],
                who="tool",
            )

            assert first == {"ann": 11, "bob": 12}
            assert again == {"bob": 12, "cid": 22}
            assert await stores.audited() == [("tool", "users.import", "OK")] * 2

    async def test_a_batch_is_one_event(self) -> None:
        """Its edges, its counts; a repeat changes nothing and tells nobody."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            edges = [(ann, bob), (bob, ann), (cid, ann)]
            first = await stores.imports.add_follows(edges, who="tool")
            again = await stores.imports.add_follows(edges, who="tool")

            assert (first.created_count, again.created_count) == (3, 0)
            assert first.version == again.version
            assert await stores.counts(ann) == (2, 1)
            assert await stores.published() == ["follows_imported"]

    async def test_an_unknown_id_stores_nothing(self) -> None:
        """All or nothing; the refusal says who is missing."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            with refuses(NotFound, "USER_NOT_FOUND"):
                await stores.imports.add_follows(
                    [(ann, bob), (ann, UserId(1))], who="tool"
                )

            assert await stores.counts(bob) == (0, 0)

    async def test_edges_across_a_block_change_nothing(self) -> None:
        """Whoever of the two blocks; the others of the batch are stored."""
        async with self.open() as stores:
            ann, bob, cid = await stores.people(3)
            await stores.block(ann, bob)
            imported = await stores.imports.add_follows(
                [(ann, bob), (bob, ann), (ann, cid)], who="tool"
            )

            assert imported.created_count == 1
            assert (await stores.relation(ann, cid)).is_following

    async def test_a_follow_answers_the_request(self) -> None:
        """Whoever follows has nothing left to ask for."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            async with stores.edges.pair(ann, bob) as pair:
                await pair.add_request(ann, bob)
            await stores.imports.add_follows([(ann, bob)], who="tool")

            async with stores.edges.pair(ann, bob) as pair:
                assert pair.ties.is_following
                assert not pair.ties.has_requested

    async def test_batches_in_parallel_neither_deadlock_nor_miscount(self) -> None:
        """Overlapping batches, with single follows between them."""
        async with self.open() as stores:
            people = await stores.people(20)
            dice = random.Random(7)
            pairs = [(a, b) for a in people for b in people if a != b]

            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    batch = dice.sample(pairs, 150)
                    group.create_task(stores.imports.add_follows(batch, who="tool"))
                for one, two in dice.sample(pairs, 8):
                    group.create_task(follow_once(stores, one, two))

            rows = await stores.pool.fetch(COUNTED)
            assert [tuple(row[:2]) for row in rows] == [tuple(row[2:]) for row in rows]


async def follow_once(stores: GraphStores, one: UserId, two: UserId) -> None:
    async with stores.edges.pair(one, two) as pair:
        if not pair.ties.is_following:
            await pair.add_follow(one, two)


COUNTED = """
SELECT follower_count, following_count,
    (SELECT count(*) FROM follow WHERE followee_id = user_id),
    (SELECT count(*) FROM follow WHERE follower_id = user_id)
FROM graph_state ORDER BY user_id
"""
