"""The rules of svc_push.ports.ReaderLogs, for every implementation."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta

from chassis.testing import NOON, FakeClock

from svc_push import model
from svc_push.model import (
    Change,
    Held,
    Kind,
    Logged,
    LogLimits,
    OpenLog,
    Placed,
    Position,
    PostId,
    ProcessName,
    UserId,
)
from svc_push.ports import ReaderLogs

ANN, BOB, EVE = UserId(1), UserId(2), UserId(3)
HERE, THERE = ProcessName("here"), ProcessName("there")

LIMITS = LogLimits(
    changes=5, retention=timedelta(hours=1), presumed=timedelta(seconds=45)
)


@dataclass
class Opened:
    """Empty logs, and the time they go by."""

    logs: ReaderLogs
    clock: FakeClock

    async def open(
        self,
        viewer: UserId = ANN,
        process: ProcessName = HERE,
        streams: int = 1,
        limit: int = 5,
    ) -> OpenLog:
        """Opens a log that must not be refused."""
        opened = await self.logs.open(
            viewer, process=process, streams=streams, limit=limit
        )
        assert opened is not None
        return opened

    async def place(self, viewer: UserId, change: Change) -> Placed:
        """Appends a change to one log, which must take it."""
        (placed,) = await self.logs.append([viewer], change)
        return placed

    async def changes(self, viewer: UserId = ANN) -> list[Change]:
        """All that a log holds."""
        opened = await self.logs.visit(viewer, checked_ms=None)
        start = replace(opened.head, sequence=opened.floor)
        entries = await self.logs.read(viewer, after=start, limit=99)
        assert entries is not None
        # How a change was found out is not kept.
        return [replace(entry.change, was_noticed=False) for entry in entries]


def added(post: int, version: int = 1) -> Change:
    """A new post of Eve's. Ids beyond 2^53 must survive the engine's numbers."""
    return model.added(PostId((1 << 62) + post), EVE, version)


def removed(post: int, version: int = 2) -> Change:
    """The same post, gone, or not for this reader any more."""
    return replace(added(post, version), kind=Kind.POST_REMOVED)


def left(version: int, *, was_noticed: bool = False, author: UserId = EVE) -> Change:
    """Eve's posts left the feed."""
    return model.author_removed(author, NOON, version, was_noticed=was_noticed)


def back(version: int, *, was_noticed: bool = False) -> Change:
    """And are in it again."""
    return model.author_returned(EVE, NOON, version, was_noticed=was_noticed)


class ReaderLogsContract(ABC):
    """Rules every ReaderLogs keeps. Subclasses say how to open empty ones."""

    @abstractmethod
    def open_logs(
        self, limits: LogLimits = LIMITS
    ) -> AbstractAsyncContextManager[Opened]:
        """Empty logs."""

    async def test_nobody_is_online_at_first(self) -> None:
        """Where nobody ever came, nothing need be told to anybody."""
        async with self.open_logs() as it:
            assert not await it.logs.anybody()
            assert await it.logs.append([ANN], added(1)) == []

            await it.open()

            assert await it.logs.anybody()

    async def test_only_those_online_lately_are_logged_for(self) -> None:
        """A reader who never came has no log and costs nothing."""
        async with self.open_logs() as it:
            opened = await it.open(ANN)
            placed = await it.logs.append([ANN, BOB], added(1))

            at = Position(opened.head.epoch, opened.head.sequence + 1)
            assert placed == [Placed(ANN, at, (HERE,))]

    async def test_what_was_logged_can_be_read_in_order(self) -> None:
        """Sequences have no gap, and each change comes back as it went in."""
        async with self.open_logs() as it:
            start = (await it.open()).head
            for post in (1, 2, 3):
                await it.place(ANN, added(post))
            await it.place(ANN, removed(2))

            first = await it.logs.read(ANN, after=start, limit=2)
            rest = await it.logs.read(
                ANN, after=replace(start, sequence=start.sequence + 2), limit=9
            )
            assert first == [Logged(1, added(1)), Logged(2, added(2))]
            assert rest == [Logged(3, added(3)), Logged(4, removed(2))]

    async def test_at_the_head_there_is_nothing_to_read(self) -> None:
        """A reader who has everything is answered nothing, not refused."""
        async with self.open_logs() as it:
            opened = await it.open()

            assert await it.logs.read(ANN, after=opened.head, limit=9) == []

    async def test_a_repeated_change_stays_where_it_is(self) -> None:
        """A redelivered event leaves the log as it was, and is answered again."""
        async with self.open_logs() as it:
            start = (await it.open()).head
            first = await it.place(ANN, added(1))
            await it.place(ANN, added(2))
            again = await it.place(ANN, added(1))

            logged = await it.logs.read(ANN, after=start, limit=9)
            assert again == first
            assert logged is not None
            assert [entry.change for entry in logged] == [added(1), added(2)]

    async def test_what_was_removed_is_not_added_any_more(self) -> None:
        """Events may come out of order; a post that is gone does not come back."""
        async with self.open_logs() as it:
            await it.open()
            await it.place(ANN, removed(1))

            assert await it.logs.append([ANN], added(1)) == []

    async def test_a_log_is_bounded(self) -> None:
        """What falls out of the log cannot be read, and is not silently skipped."""
        async with self.open_logs() as it:
            start = (await it.open()).head
            for post in range(7):
                await it.place(ANN, added(post))
            opened = await it.open()
            kept = Position(start.epoch, opened.floor)
            logged = await it.logs.read(ANN, after=kept, limit=9)

            assert (opened.floor, opened.head.sequence, opened.size) == (2, 7, 5)
            assert not opened.reaches(start)
            assert opened.reaches(kept)
            assert await it.logs.read(ANN, after=start, limit=9) is None
            assert logged == [Logged(n + 1, added(n)) for n in range(2, 7)]

    async def test_changes_grow_old(self) -> None:
        """A change is not kept longer than the limit says."""
        async with self.open_logs() as it:
            await it.open()
            await it.place(ANN, added(1))
            it.clock.advance(LIMITS.retention.total_seconds() + 1)
            await it.place(ANN, added(2))

            assert (await it.open()).floor == 1

    async def test_a_position_that_never_was_cannot_be_read_from(self) -> None:
        """Another epoch, or a sequence to come, is not in this log."""
        async with self.open_logs() as it:
            head = (await it.open()).head
            ahead = replace(head, sequence=(1 << 63) - 1)
            foreign = replace(head, epoch="elsewhere")

            assert await it.logs.read(ANN, after=ahead, limit=9) is None
            assert await it.logs.read(ANN, after=foreign, limit=9) is None
            assert await it.logs.read(BOB, after=head, limit=9) is None

    async def test_an_opened_log_goes_on(self) -> None:
        """Coming back finds the same epoch, and what happened in between."""
        async with self.open_logs() as it:
            first = await it.open()
            await it.logs.leave(ANN, process=HERE, streams=0)
            placed = await it.place(ANN, added(1))
            again = await it.open(process=THERE)

            assert placed.holders == ()
            assert again.head == placed.position
            assert again.reaches(first.head)

    async def test_every_process_that_holds_a_reader_is_named(self) -> None:
        """A reader may have streams at several processes."""
        async with self.open_logs() as it:
            await it.open(process=HERE)
            await it.open(process=THERE, streams=2)
            placed = await it.place(ANN, added(1))

            assert sorted(placed.holders) == [HERE, THERE]
            assert sorted(await it.logs.holders(ANN)) == [HERE, THERE]

    async def test_a_process_that_says_nothing_holds_nobody(self) -> None:
        """Processes die without a word."""
        async with self.open_logs() as it:
            await it.open(process=HERE)
            await it.open(process=THERE)
            it.clock.advance(LIMITS.presumed.total_seconds() - 1)
            await it.logs.touch([Held(ANN, 1, None)], process=THERE)
            it.clock.advance(2)

            assert await it.logs.holders(ANN) == [THERE]

    async def test_streams_are_counted_over_all_processes(self) -> None:
        """Going to another process does not get round the limit."""
        async with self.open_logs() as it:
            await it.open(process=HERE, streams=3, limit=5)
            refused = await it.logs.open(ANN, process=THERE, streams=3, limit=5)

            assert refused is None
            assert await it.logs.holders(ANN) == [HERE]
            await it.open(process=THERE, streams=2, limit=5)
            await it.logs.leave(ANN, process=HERE, streams=1)
            await it.open(process=THERE, streams=4, limit=5)

    async def test_touching_answers_where_logs_stand(self) -> None:
        """A heartbeat finds what hints did not tell."""
        async with self.open_logs() as it:
            await it.open(ANN)
            await it.open(BOB)
            placed = await it.place(BOB, added(1))
            heads = await it.logs.touch(
                [Held(ANN, 1, None), Held(BOB, 1, None)], process=HERE
            )

            assert heads[ANN].sequence == 0
            assert heads[BOB] == placed.position

    async def test_how_far_celebrities_were_looked_at_is_noted(self) -> None:
        """Only who looked may move it."""
        async with self.open_logs() as it:
            began = await it.open()
            await it.logs.touch([Held(ANN, 1, 1234)], process=HERE)
            await it.logs.touch([Held(ANN, 1, None)], process=HERE)

            assert abs(began.checked_ms - it.clock.now().timestamp() * 1000) < 1
            assert (await it.open()).checked_ms == 1234
            assert (await it.logs.visit(ANN, checked_ms=5678)).checked_ms == 5678
            assert (await it.logs.visit(ANN, checked_ms=None)).checked_ms == 5678

    async def test_a_visitor_is_online_lately_and_held_by_nobody(self) -> None:
        """Polling keeps a log going."""
        async with self.open_logs() as it:
            await it.logs.visit(ANN, checked_ms=None)
            placed = await it.place(ANN, added(1))

            assert placed.holders == ()

    async def test_an_erased_reader_is_forgotten(self) -> None:
        """Nothing is kept of a person who left."""
        async with self.open_logs() as it:
            before = await it.open()
            await it.place(ANN, added(1))
            await it.logs.erase(ANN)

            assert await it.logs.append([ANN], added(2)) == []
            assert await it.logs.holders(ANN) == []
            assert (await it.open()).head.epoch != before.head.epoch

    async def test_a_post_comes_and_goes_by_its_versions(self) -> None:
        """Narrowed and widened again: told each time, in the order of the edits."""
        async with self.open_logs() as it:
            await it.open()
            for change in (added(1), removed(1, 2), added(1, 3), removed(1, 4)):
                await it.place(ANN, change)

            assert await it.changes() == [
                *(added(1), removed(1, 2)),
                *(added(1, 3), removed(1, 4)),
            ]

    async def test_an_older_version_of_a_post_changes_nothing(self) -> None:
        """The edits may be told in any order: the newest one holds."""
        async with self.open_logs() as it:
            await it.open()
            await it.place(ANN, added(1))
            # Narrowed by version 2 and widened by version 3, the latter told first.
            await it.place(ANN, added(1, 3))

            assert await it.logs.append([ANN], removed(1, 2)) == []
            assert await it.changes() == [added(1)]

    async def test_an_author_leaves_once_a_version(self) -> None:
        """A follow that ends by a block is told of twice, and ended once."""
        async with self.open_logs() as it:
            await it.open()
            first = await it.place(ANN, left(5))
            again = await it.place(ANN, left(5))
            older = await it.place(ANN, left(4))
            await it.place(ANN, left(6))

            assert again == older == first
            assert await it.changes() == [left(5), left(6)]
            assert await it.logs.removed(ANN) == [EVE]

    async def test_nothing_of_an_author_who_left_is_added(self) -> None:
        """A fan-out of their post was under way: it does not come after them."""
        async with self.open_logs() as it:
            await it.open()
            await it.place(ANN, added(1))
            await it.place(ANN, left(5))

            assert await it.logs.append([ANN], added(2)) == []
            await it.place(ANN, removed(1))
            assert await it.changes() == [added(1), left(5), removed(1)]

    async def test_who_returns_is_told_of_where_they_left(self) -> None:
        """From then on their posts are added again."""
        async with self.open_logs() as it:
            await it.open(ANN)
            await it.open(BOB)
            await it.place(ANN, left(5))
            placed = await it.logs.append([ANN, BOB], back(6))
            again = await it.logs.append([ANN, BOB], back(6))
            later = await it.logs.append([ANN, BOB], back(7))
            await it.place(ANN, added(1))

            assert [found.viewer for found in placed] == [ANN]
            assert placed == again == later
            assert await it.changes() == [left(5), back(6), added(1)]
            assert await it.logs.removed(ANN) == []

    async def test_a_return_that_was_told_first_holds(self) -> None:
        """The leaving that came before it comes late, and is left out."""
        async with self.open_logs() as it:
            await it.open()
            await it.place(ANN, left(5))
            await it.place(ANN, back(8))

            assert await it.logs.append([ANN], left(7)) == []
            await it.place(ANN, left(9))
            assert await it.changes() == [left(5), back(8), left(9)]

    async def test_what_was_noticed_holds_unless_it_is_known(self) -> None:
        """However old the version at which somebody looked."""
        async with self.open_logs() as it:
            await it.open()
            noticed = await it.place(ANN, left(3, was_noticed=True))
            told = await it.place(ANN, left(2))
            await it.place(ANN, back(9))
            await it.place(ANN, left(4, was_noticed=True))
            await it.place(ANN, left(4, was_noticed=True))
            await it.place(ANN, back(4, was_noticed=True))

            assert told == noticed
            assert await it.changes() == [left(3), back(9), left(4), back(4)]
            assert await it.logs.append([ANN], left(9)) == []

    async def test_an_author_s_leaving_outlives_its_entry(self) -> None:
        """Nothing is added of them however long ago they left."""
        async with self.open_logs() as it:
            await it.open()
            await it.place(ANN, left(5))
            for post in range(LIMITS.changes + 1):
                await it.place(ANN, removed(post))

            assert (await it.open()).floor == 2
            assert await it.logs.append([ANN], added(9)) == []
            assert await it.logs.append([ANN], left(5)) == []
            assert await it.logs.removed(ANN) == [EVE]
            await it.place(ANN, back(6))
            await it.place(ANN, added(9))

    async def test_whom_a_reader_follows_is_remembered(self) -> None:
        """What was noted last is answered once, and erased with the reader."""
        async with self.open_logs() as it:
            await it.open()
            first = await it.logs.note_followed(ANN, [EVE, BOB])
            second = await it.logs.note_followed(ANN, [])
            third = await it.logs.note_followed(ANN, [BOB])
            await it.logs.erase(ANN)

            assert (first, second, third) == (set(), {EVE, BOB}, set())
            assert await it.logs.note_followed(ANN, []) == set()
