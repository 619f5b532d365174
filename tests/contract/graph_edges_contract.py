"""Rules of Edges: what a pair changes, counts, tells and orders."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from svc_graph.model import UserId, UserState
from tests.support.graph import GraphStores


class EdgesContract:
    """Rules every Edges keeps. Subclasses say how to open empty stores."""

    def open(self) -> AbstractAsyncContextManager[GraphStores]:
        raise NotImplementedError

    async def test_a_follow_shows_in_ties_counts_and_events(self) -> None:
        """One change: the edge, both counts, one event."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.follow(ann, bob)

            async with stores.edges.pair(bob, ann) as pair:
                assert pair.ties.is_followed_by
                assert not pair.ties.is_following
            assert await stores.counts(ann) == (0, 1)
            assert await stores.counts(bob) == (1, 0)
            assert await stores.published() == ["user_followed"]

    async def test_ending_a_follow_undoes_it(self) -> None:
        """Edge and counts are as before; the event says so."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.follow(ann, bob)
            async with stores.edges.pair(ann, bob) as pair:
                await pair.end_follow(ann, bob)

            assert not (await stores.relation(ann, bob)).is_following
            assert await stores.counts(bob) == (0, 0)
            assert await stores.published() == ["user_followed", "user_unfollowed"]

    async def test_an_exception_undoes_everything(self) -> None:
        """Nothing of a pair that raised is kept: no edge, count, version or event."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)

            async def fail() -> None:
                async with stores.edges.pair(ann, bob) as pair:
                    await pair.add_follow(ann, bob)
                    raise LookupError

            with pytest.raises(LookupError):
                await fail()

            assert not (await stores.relation(ann, bob)).is_following
            assert await stores.counts(bob) == (0, 0)
            assert await stores.published() == []

    async def test_a_change_raises_the_version_of_both(self) -> None:
        """A block counts for both sides, and later changes have larger versions."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            async with stores.edges.pair(ann, bob) as pair:
                before = pair.version
                await pair.add_block()
                after = pair.version

            now = stores.clock.now()
            assert after > before
            for viewer in (ann, bob):
                _, version = await stores.relations.of(viewer, [ann, bob], now=now)
                assert version == after

    async def test_a_look_changes_no_version(self) -> None:
        """A pair left without a change answers the version I have."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.follow(ann, bob)
            async with stores.edges.pair(ann, bob) as first:
                pass
            async with stores.edges.pair(ann, bob) as second:
                pass

            assert first.version == second.version == first.me.version

    async def test_a_request_is_no_relation(self) -> None:
        """Asking changes ties, not versions or counts, and tells nobody."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            async with stores.edges.pair(ann, bob) as pair:
                await pair.add_request(ann, bob)
                assert pair.version == pair.me.version

            async with stores.edges.pair(bob, ann) as pair:
                assert pair.ties.is_requested_by
                await pair.end_request(ann, bob)
            async with stores.edges.pair(ann, bob) as pair:
                assert not pair.ties.has_requested
            assert await stores.published() == []

    async def test_blocks_are_told_and_audited(self) -> None:
        """A block and its end leave one event and one audit row each."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.block(ann, bob)
            async with stores.edges.pair(bob, ann) as pair:
                assert pair.ties.is_blocked_by
            async with stores.edges.pair(ann, bob) as pair:
                await pair.end_block()

            assert not (await stores.relation(ann, bob)).is_blocking
            assert await stores.published() == ["user_blocked", "user_unblocked"]
            assert await stores.audited() == [
                (f"user:{ann}", "user.block", "OK"),
                (f"user:{ann}", "user.unblock", "OK"),
            ]

    async def test_a_mute_ends_by_itself(self) -> None:
        """A mute holds until its end, and a new one replaces the end."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            soon = stores.clock.now() + timedelta(minutes=1)
            async with stores.edges.pair(ann, bob) as pair:
                await pair.set_mute(soon)
            assert (await stores.relation(ann, bob)).is_muting

            stores.clock.advance(61)
            assert not (await stores.relation(ann, bob)).is_muting
            async with stores.edges.pair(ann, bob) as pair:
                assert not pair.ties.is_muting
                await pair.set_mute(None)
            assert (await stores.relation(ann, bob)).is_muting

    async def test_nobody_is_deleted(self) -> None:
        """A person who never existed looks like one who is gone."""
        async with self.open() as stores:
            ann = await stores.person()
            async with stores.edges.pair(ann, UserId(1)) as pair:
                assert pair.other.state is UserState.DELETED

    async def test_crossing_pairs_do_not_deadlock(self) -> None:
        """Many changes of the same people at once all come through, all counted."""
        async with self.open() as stores:
            ann, bob, *others = await stores.people(8)

            async def toggle(one: UserId, two: UserId) -> None:
                for _ in range(5):
                    await stores.follow(one, two)
                    async with stores.edges.pair(one, two) as pair:
                        await pair.end_follow(one, two)

            async with asyncio.TaskGroup() as group:
                for other in others:
                    group.create_task(toggle(ann, other))
                    group.create_task(toggle(other, ann))
                group.create_task(toggle(ann, bob))
                group.create_task(toggle(bob, ann))

            assert await stores.counts(ann) == (0, 0)

    async def test_mutes_are_told(self) -> None:
        """A mute, a new end of it and its end are told; the same again is not."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            soon = stores.clock.now() + timedelta(minutes=1)
            versions = []
            for until in (soon, soon, None, None):
                async with stores.edges.pair(ann, bob) as pair:
                    await pair.set_mute(until)
                    versions.append(pair.version)
            async with stores.edges.pair(ann, bob) as pair:
                await pair.end_mute()

            assert versions[0] == versions[1] < versions[2] == versions[3]
            assert await stores.published() == [
                "user_muted",
                "user_muted",
                "user_unmuted",
            ]

    async def test_a_count_that_drifted_stops_nobody(self) -> None:
        """Where a follow was not counted, it can be ended: no count is below 0."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            await stores.follow(ann, bob)
            await stores.pool.execute(
                "UPDATE graph_state SET follower_count = 0, following_count = 0"
            )
            async with stores.edges.pair(ann, bob) as pair:
                await pair.end_follow(ann, bob)

            assert await stores.counts(ann) == (0, 0)
            assert await stores.counts(bob) == (0, 0)

    async def test_marks_say_the_version(self) -> None:
        """After a change readers find its version beside their feed."""
        async with self.open() as stores:
            ann, bob = await stores.people(2)
            async with stores.edges.pair(ann, bob) as pair:
                await pair.add_follow(ann, bob)
                version = pair.version

            raw = await stores.valkey.read(
                [stores.marks.key(id_) for id_ in (ann, bob)]
            )
            assert [stores.marks.parse(mark) for mark in raw] == [version, version]
