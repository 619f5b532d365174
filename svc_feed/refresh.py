"""What a reader's last first page leaves behind: its top, and for refreshes itself.

Who pulls to refresh more often than once in some seconds is answered with the page
they have. Its ids are kept, not its bytes: rules are applied anew, so that a block of
meanwhile holds, but nothing is looked for and nothing ranked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chassis.clock import Clock
from chassis.errors import InvalidArgument

from .model import BELOW_ALL, EndReason, Entry, Glance, Order, PostId, UserId
from .ports import Notes
from .position import Position

_HEAD = struct.Struct(">BBBBq")
_FORMAT = 1

# Last pages that this process keeps for the time that Valkey is away.
MOST_SHELVED = 5_000


@dataclass(frozen=True, slots=True)
class LastPage:
    """A first page that was shown some seconds ago."""

    ids: Sequence[PostId]
    """In reading order."""

    position: Position
    """Where its session stands behind it."""

    end: EndReason
    new_posts: int

    own: PostId
    """The reader's newest post then, as far as it was known."""

    def encode(self) -> bytes:
        head = _HEAD.pack(_FORMAT, self.end, self.new_posts, len(self.ids), self.own)
        return (
            head
            + struct.pack(f">{len(self.ids)}q", *self.ids)
            + (self.position.encode())
        )

    @classmethod
    def decode(cls, data: bytes) -> LastPage | None:
        """None for bytes of another release."""
        try:
            form, end, new_posts, count, own = _HEAD.unpack_from(data)
            if form != _FORMAT:
                return None
            ids = struct.unpack_from(f">{count}q", data, _HEAD.size)
            position = Position.decode(data[_HEAD.size + 8 * count :])
            return cls(
                list(map(PostId, ids)),
                position,
                EndReason(end),
                new_posts,
                PostId(own),
            )
        except (struct.error, ValueError, InvalidArgument):
            return None


class Refreshes:
    """Remembers last pages, for as long as a refresh is too soon."""

    def __init__(self, *, notes: Notes, clock: Clock, every: timedelta) -> None:
        """`every`: how often a reader may have a page made by refreshing."""
        self._notes = notes
        self._clock = clock
        self._every = every.total_seconds()
        self._shelf: dict[tuple[UserId, Order], tuple[float, bytes]] = {}

    def recall(self, viewer: UserId, order: Order, glance: Glance) -> LastPage | None:
        """The page to answer again; None when it is time for another.

        And when the reader has written something since: authors see their own posts
        at once.
        """
        raw = glance.last if glance.is_reachable else self._shelved(viewer, order)
        last = None if raw is None else LastPage.decode(raw)
        if last is None or newest(glance.own) > last.own:
            return None
        return last

    def remember(self, viewer: UserId, order: Order, page: LastPage) -> None:
        """For the next refresh, in whichever process."""
        raw = page.encode()
        now = self._clock.monotonic()
        if len(self._shelf) >= MOST_SHELVED:
            del self._shelf[next(iter(self._shelf))]
        self._shelf.pop((viewer, order), None)
        self._shelf[viewer, order] = (now, raw)
        self._notes.note_last(viewer, order, raw)

    def _shelved(self, viewer: UserId, order: Order) -> bytes | None:
        shelved_at, raw = self._shelf.get((viewer, order), (0.0, b""))
        is_recent = raw and self._clock.monotonic() - shelved_at < self._every
        return raw if is_recent else None


def newest(own: Sequence[Entry] | None) -> PostId:
    """The newest of the reader's own posts that is known."""
    return own[0].post_id if own else BELOW_ALL
