"""Rules of the ReachMoves port."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from svc_feed.model import ReachMove, UserId
from svc_feed.ports import ReachMoves

STAR = UserId(7)
SINCE = datetime(2026, 3, 1, tzinfo=UTC)


class Told(Protocol):
    """What came back as events, in order: author, version, after whom."""

    async def __call__(self) -> Sequence[tuple[int, int, int]]: ...


class Opened(NamedTuple):
    moves: ReachMoves
    told: Told


class ReachMovesContract:
    """Rules every ReachMoves keeps. Subclasses open empty ones."""

    def open_moves(self) -> AbstractAsyncContextManager[Opened]:
        raise NotImplementedError

    async def test_nothing_is_known_of_who_never_changed(self) -> None:
        """Absence is ordinary."""
        async with self.open_moves() as (moves, _):
            assert await moves.last(STAR) is None

    async def test_an_older_change_is_not_heeded(self) -> None:
        """Events come in any order."""
        async with self.open_moves() as (moves, _):
            newest = await moves.note(STAR, 5, placed_since=SINCE)
            again = await moves.note(STAR, 4, placed_since=None)

            assert newest == again == ReachMove(5, SINCE, UserId(0), False)
            assert await moves.last(STAR) == newest

    async def test_a_change_that_is_noted_again_goes_on_where_it_was(self) -> None:
        """A redelivered event does not begin from the first follower."""
        async with self.open_moves() as (moves, _):
            await moves.note(STAR, 5, placed_since=SINCE)
            await moves.advance(STAR, 5, after=UserId(90))

            assert (await moves.note(STAR, 5, placed_since=SINCE)).after == 90

    async def test_a_newer_change_begins_anew(self) -> None:
        """Nothing of the one before is left."""
        async with self.open_moves() as (moves, _):
            await moves.note(STAR, 5, placed_since=SINCE)
            await moves.advance(STAR, 5, after=UserId(90))
            await moves.finish(STAR, 5)

            assert await moves.note(STAR, 6, placed_since=None) == ReachMove(
                6, None, UserId(0), False
            )

    async def test_each_step_is_told_once(self) -> None:
        """Neither when it is repeated nor when the reach changed again."""
        async with self.open_moves() as (moves, told):
            await moves.note(STAR, 5, placed_since=SINCE)
            for after in (90, 90, 80, 200):
                await moves.advance(STAR, 5, after=UserId(after))
            await moves.note(STAR, 6, placed_since=SINCE)
            await moves.advance(STAR, 5, after=UserId(300))

            assert await told() == [(STAR, 5, 90), (STAR, 5, 200)]

    async def test_only_the_change_itself_is_finished(self) -> None:
        """What was begun for an older one is not."""
        async with self.open_moves() as (moves, _):
            await moves.note(STAR, 6, placed_since=SINCE)
            await moves.finish(STAR, 5)
            assert not (await moves.note(STAR, 6, placed_since=SINCE)).is_done
            await moves.finish(STAR, 6)

            assert (await moves.note(STAR, 6, placed_since=SINCE)).is_done
