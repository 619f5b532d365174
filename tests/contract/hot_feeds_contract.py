"""Rules of the HotFeeds port."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from svc_feed.model import Entry, Hot, PostId, UserId
from svc_feed.ports import HotFeeds

ANN, BEN, CAT, DAN = map(UserId, (1, 2, 3, 4))

WINDOW = 4
# Ids as they are: more than a Lua number can hold.
BASE = (1 << 62) + (1 << 31)


def entry(number: int) -> Entry:
    return Entry(PostId(BASE + number), DAN)


class Readable(HotFeeds, Protocol):
    """Hot feeds that a test can look into."""

    async def look(self, viewer: UserId) -> Hot | None:
        """As a page reads them."""
        ...


class HotFeedsContract:
    """Rules every HotFeeds keeps. Subclasses open empty ones of WINDOW entries."""

    def open_hot_feeds(self) -> AbstractAsyncContextManager[Readable]:
        raise NotImplementedError

    async def test_appending_makes_no_feed(self) -> None:
        """A feed that was not built would claim to be whole."""
        async with self.open_hot_feeds() as hot:
            await hot.append([ANN], entry(1))

            assert await hot.look(ANN) is None

    async def test_a_built_feed_holds_what_the_index_held(self) -> None:
        """And is whole to the ground when it is shorter than the window."""
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN, 3, 2, 1)

            assert await hot.look(ANN) == Hot([entry(3), entry(2), entry(1)], PostId(0))

    async def test_an_empty_feed_is_a_feed(self) -> None:
        """So that readers without posts do not ask the index every time."""
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN)
            await hot.append([ANN], entry(1))

            assert await hot.look(ANN) == Hot([entry(1)], PostId(0))

    async def test_a_full_feed_says_where_it_ends(self) -> None:
        """Below its floor the index has to be asked."""
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN, 9, 8, 7, 6)

            found = await hot.look(ANN)

        assert found is not None
        assert found.floor == entry(5).post_id

    async def test_a_post_is_appended_to_each_feed_that_exists(self) -> None:
        """Twice makes one entry; the order of arrival does not matter."""
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN, 1)
            await built(hot, BEN)
            for number in (3, 2, 3):
                await hot.append([ANN, BEN, CAT], entry(number))

            of_ann, of_ben = await hot.look(ANN), await hot.look(BEN)

        assert of_ann == Hot([entry(3), entry(2), entry(1)], PostId(0))
        assert of_ben == Hot([entry(3), entry(2)], PostId(0))

    async def test_what_is_appended_during_a_build_is_kept(self) -> None:
        """Fan-out does not wait for builds, and loses nothing to them."""
        async with self.open_hot_feeds() as hot:
            build = await hot.begin(ANN)
            assert build is not None
            await hot.append([ANN], entry(3))
            assert await hot.look(ANN) is None
            await hot.finish(ANN, build, Hot([entry(2), entry(1)], PostId(0)))

            assert await hot.look(ANN) == Hot([entry(3), entry(2), entry(1)], PostId(0))

    async def test_one_build_goes_on_at_a_time(self) -> None:
        """The others read the index."""
        async with self.open_hot_feeds() as hot:
            await hot.begin(ANN)

            assert await hot.begin(ANN) is None

    async def test_a_feed_that_exists_is_not_built(self) -> None:
        """It may hold more than the index did when it was read."""
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN, 1)

            assert await hot.begin(ANN) is None

    async def test_a_forgotten_build_leaves_nothing(self) -> None:
        """Something was removed meanwhile: what was read is old."""
        async with self.open_hot_feeds() as hot:
            build = await hot.begin(ANN)
            assert build is not None
            await hot.forget([ANN])
            await hot.finish(ANN, build, Hot([entry(1)], PostId(0)))

            assert await hot.look(ANN) is None

    async def test_an_overtaken_build_does_not_end_the_next(self) -> None:
        """Each build has a number of its own."""
        async with self.open_hot_feeds() as hot:
            old = await hot.begin(ANN)
            assert old is not None
            await hot.forget([ANN])
            await hot.begin(ANN)
            await hot.finish(ANN, old, Hot([entry(1)], PostId(0)))

            assert await hot.look(ANN) is None

    async def test_a_forgotten_feed_is_missing(self) -> None:
        """The next read builds it anew; forgetting twice is no error."""
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN, 1)
            await hot.forget([ANN, BEN])
            await hot.forget([ANN])

            assert await hot.look(ANN) is None

    async def test_a_trimmed_feed_is_whole_above_its_floor(self) -> None:
        """Also when old posts arrived last: nothing above the floor is missing."""
        arrivals = [20, 21, 22, 23, 24, 1, 2, 3, 25, 26, 4, 27]
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN, 11, 10)
            for number in arrivals:
                await hot.append([ANN], entry(number))

            found = await hot.look(ANN)

        assert found is not None
        assert found.floor >= entry(1).post_id
        placed = sorted({10, 11, *arrivals}, reverse=True)
        above = [entry(one) for one in placed if entry(one).post_id > found.floor]
        assert list(found.entries) == above
        assert above[0] == entry(27)

    async def test_a_feed_stays_bounded(self) -> None:
        """However much is appended between two reads."""
        async with self.open_hot_feeds() as hot:
            await built(hot, ANN)
            for number in range(100):
                await hot.append([ANN], entry(number))

            found = await hot.look(ANN)

        assert found is not None
        assert WINDOW <= len(found.entries) <= 2 * WINDOW
        assert found.entries[0] == entry(99)

    async def test_many_feeds_take_one_post(self) -> None:
        """More than one script call takes."""
        viewers = [UserId(number) for number in range(2_500)]
        async with self.open_hot_feeds() as hot:
            for viewer in viewers[::500]:
                await built(hot, viewer)
            await hot.append(viewers, entry(1))

            for viewer in viewers[::500]:
                assert await hot.look(viewer) == Hot([entry(1)], PostId(0))


async def built(hot: HotFeeds, viewer: UserId, *numbers: int) -> None:
    """Builds a feed of these entries, newest first."""
    build = await hot.begin(viewer)
    assert build is not None
    entries = [entry(number) for number in numbers]
    is_end = len(entries) < WINDOW
    floor = PostId(0) if is_end else PostId(entries[-1].post_id - 1)
    await hot.finish(viewer, build, Hot(entries, floor))
