"""Rules of the FeedIndex port."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from chassis.clock import SystemClock
from chassis.ids import floor_of

from svc_feed.model import Entry, PostId, UserId
from svc_feed.ports import FeedIndex

ANN, BEN, CAT, DAN = map(UserId, (1, 2, 3, 4))

NOW = floor_of(SystemClock().now())
A_WEEK = timedelta(days=7) // timedelta(milliseconds=1) << 22


def entry(number: int, author: UserId = DAN) -> Entry:
    """The number-th post of this test, a day between each."""
    return Entry(PostId(NOW - A_WEEK + number), author)


class FeedIndexContract:
    """Rules every FeedIndex keeps. Subclasses say how to open an empty one."""

    def open_index(self) -> AbstractAsyncContextManager[FeedIndex]:
        raise NotImplementedError

    async def test_an_unknown_viewer_has_an_empty_feed(self) -> None:
        """Absence is ordinary."""
        async with self.open_index() as index:
            assert await index.newest(ANN, limit=10) == []

    async def test_adding_twice_places_one_entry(self) -> None:
        """A redelivered event leaves the feed as it was."""
        async with self.open_index() as index:
            await index.add([ANN], entry(1))
            await index.add([ANN], entry(1))

            assert await index.newest(ANN, limit=10) == [entry(1)]

    async def test_a_post_is_placed_for_each_viewer(self) -> None:
        """In any order, and for many more than one batch takes."""
        viewers = [UserId(number) for number in range(2_500, 0, -1)]
        async with self.open_index() as index:
            await index.add(viewers, entry(1))

            for viewer in (1, 999, 1_000, 1_001, 2_500):
                assert await index.newest(UserId(viewer), limit=2) == [entry(1)]

    async def test_newest_comes_first(self) -> None:
        """Whatever the order in which posts were placed."""
        async with self.open_index() as index:
            for number in (2, 3, 1):
                await index.add([ANN, BEN], entry(number))

            assert await index.newest(ANN, limit=10) == [entry(3), entry(2), entry(1)]

    async def test_pages_join_by_the_last_id(self) -> None:
        """`before` is exclusive, and a short page is the last."""
        entries = [entry(number) for number in range(10)]
        async with self.open_index() as index:
            await index.fill(ANN, entries)

            first = await index.newest(ANN, limit=6)
            second = await index.newest(ANN, limit=6, before=first[-1].post_id)

        assert first + second == entries[::-1]
        assert len(second) == 4

    async def test_a_feed_reaches_over_weeks(self) -> None:
        """Entries of different partitions are one list."""
        old, new = entry(1), Entry(PostId(NOW + A_WEEK), DAN)
        async with self.open_index() as index:
            await index.fill(ANN, [new, old])

            assert await index.newest(ANN, limit=2) == [new, old]
            assert await index.newest(ANN, limit=2, before=new.post_id) == [old]

    async def test_filling_twice_changes_nothing(self) -> None:
        """Nor does filling in what is there in part."""
        async with self.open_index() as index:
            await index.add([ANN], entry(2))
            await index.fill(ANN, [entry(1), entry(2), entry(3)])
            await index.fill(ANN, [entry(3), entry(1)])

            assert len(await index.newest(ANN, limit=10)) == 3

    async def test_an_author_is_removed_from_one_feed(self) -> None:
        """Other feeds, and other authors in it, stay; twice is no error."""
        async with self.open_index() as index:
            await index.add([ANN, BEN], entry(1, CAT))
            await index.add([ANN, BEN], entry(2, DAN))
            await index.remove_author(ANN, CAT)
            await index.remove_author(ANN, CAT)

            assert await index.newest(ANN, limit=10) == [entry(2, DAN)]
            assert len(await index.newest(BEN, limit=10)) == 2

    async def test_adding_tells_how_many_did_not_hold_the_post(self) -> None:
        """What fan-out wrote, redelivered or not."""
        async with self.open_index() as index:
            assert await index.add([ANN, BEN], entry(1)) == 2
            assert await index.add([ANN, BEN, CAT], entry(1)) == 1
            assert await index.add([CAT], entry(1)) == 0

    async def test_many_posts_are_placed_in_many_feeds(self) -> None:
        """All of them in each, once, for more than one statement takes."""
        viewers = [UserId(number) for number in range(500, 0, -1)]
        entries = [entry(number) for number in range(50)]
        async with self.open_index() as index:
            await index.add([ANN], entry(3))
            for _ in range(2):
                await index.add_all(viewers, entries)

            for viewer in (1, 250, 500):
                assert await index.newest(UserId(viewer), limit=60) == entries[::-1]

    async def test_an_author_is_removed_up_to_a_post_and_but_for_some(self) -> None:
        """What belongs to a new follow stays."""
        async with self.open_index() as index:
            await index.fill(ANN, [entry(number, CAT) for number in range(6)])
            await index.remove_author(
                ANN, CAT, before=entry(4).post_id, keeping=[entry(2).post_id]
            )

            assert await index.newest(ANN, limit=10) == [
                entry(number, CAT) for number in (5, 4, 2)
            ]

    async def test_posts_are_removed_from_one_feed(self) -> None:
        """Those named; other feeds keep them."""
        async with self.open_index() as index:
            for number in range(4):
                await index.add([ANN, BEN], entry(number))
            for _ in range(2):
                await index.remove(ANN, [entry(3).post_id, entry(0).post_id])

            assert await index.newest(ANN, limit=10) == [entry(2), entry(1)]
            assert len(await index.newest(BEN, limit=10)) == 4

    async def test_a_post_is_removed_from_many_feeds(self) -> None:
        """From those named, and only that post."""
        async with self.open_index() as index:
            for number in (1, 2):
                await index.add([ANN, BEN, CAT], entry(number))
            await index.remove_post([BEN, ANN], entry(1).post_id)
            await index.remove_post([BEN, ANN], entry(1).post_id)

            assert await index.newest(ANN, limit=10) == [entry(2)]
            assert await index.newest(BEN, limit=10) == [entry(2)]
            assert len(await index.newest(CAT, limit=10)) == 2

    async def test_erasing_a_person_takes_their_feed_and_their_posts(self) -> None:
        """As reader and as author; others' entries stay."""
        async with self.open_index() as index:
            await index.add([ANN, BEN, CAT], entry(1, BEN))
            await index.add([ANN, BEN, CAT], entry(2, DAN))
            await index.erase(BEN)
            await index.erase(BEN)

            assert await index.newest(BEN, limit=10) == []
            assert await index.newest(ANN, limit=10) == [entry(2, DAN)]
            assert await index.newest(CAT, limit=10) == [entry(2, DAN)]
