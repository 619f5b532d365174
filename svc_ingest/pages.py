"""Pages that are full although some of what is read may not be shown."""

import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from chassis.errors import InvalidArgument
from chassis.paging import Page, PageTokens

from .model import ABOVE_ALL, UserId

T = TypeVar("T")

# A page reads at most this many windows: hidden rows cannot keep it reading for ever.
ROUNDS = 5

_POSITION = struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """A list to page through: how to read it, filter it, and where a row stands."""

    read: Callable[[int, int], Awaitable[Sequence[T]]]
    """Rows below a position, newest first, up to a number."""

    keep: Callable[[Sequence[T]], Awaitable[Sequence[T]]]
    """Those of the rows that may be shown, in their order."""

    position: Callable[[T], int]
    """The id that orders the list."""


class Pages:
    """Fills pages and seals where the next one starts."""

    def __init__(self, *, tokens: PageTokens) -> None:
        self._tokens = tokens

    async def fill(
        self, rows: Rows[T], *, scope: str, reader: UserId, size: int, token: str
    ) -> Page[T]:
        """One page of the list.

        Short only at its end, or where more than ROUNDS windows are hidden: then
        the token goes on behind what was looked at.
        """
        before = self._start(token, scope, reader)
        shown: list[T] = []
        goes_on = True
        for _ in range(ROUNDS):
            # One more than the page holds tells whether another follows.
            window = await rows.read(before, size + 1)
            shown += await rows.keep(window)
            goes_on = len(window) > size
            if window:
                before = rows.position(window[-1])
            if len(shown) > size or not goes_on:
                break
        if len(shown) > size:
            goes_on = True
            shown = shown[:size]
            before = rows.position(shown[-1])
        return Page(shown, self._seal(before, scope, reader) if goes_on else "")

    def _start(self, token: str, scope: str, reader: UserId) -> int:
        if not token:
            return ABOVE_ALL
        position = self._tokens.open(token, scope=scope, reader=reader)
        if len(position) != _POSITION.size:
            raise InvalidArgument("PAGE_TOKEN_INVALID")
        return int(_POSITION.unpack(position)[0])

    def _seal(self, before: int, scope: str, reader: UserId) -> str:
        return self._tokens.seal(
            scope=scope, reader=reader, position=_POSITION.pack(before)
        )
