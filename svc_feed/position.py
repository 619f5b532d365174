"""Where a paging session stands: all of it travels in the page token.

A ranked session has shown some posts of its window and knows the order of the rest.
That order is in the token, so a session needs no store, outlives a restart of any
process and of Valkey, and goes on alike whether ranking answers or not. See
docs/decisions/0001-ranked-paging-sessions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chassis.errors import InvalidArgument

from .frames import Malformed, read_varint, varint
from .model import PostId, ServedAs

_FORMAT = 1

# A token may be 1,024 characters long: 768 bytes, of which up to 48 are its head
# and signature.
_BUDGET = 720
_HEAD_BYTES = 24
# One byte holds the place of a post in its window.
MOST = 200


@dataclass(frozen=True, slots=True)
class Position:
    """The state of a session between two pages."""

    served_as: ServedAs

    top: PostId
    """Newest entry of the first page: what is newer belongs to the next session."""

    before: PostId
    """The part that is newest first goes on below this."""

    window: Sequence[PostId] = ()
    """What was ranked, newest first, all above `before`; empty once it is shown."""

    remaining: Sequence[PostId] = ()
    """What of the window is still to be shown, in reading order."""

    def encode(self) -> bytes:
        """The bytes to seal into a token."""
        parts = [bytes((_FORMAT, self.served_as)), varint(self.top)]
        parts.append(varint(self.before))
        if self.remaining:
            above = self.top
            for post_id in self.window:
                parts.append(varint(above - post_id))
                above = post_id
            places = {post_id: place for place, post_id in enumerate(self.window)}
            order = bytes(places[post_id] for post_id in self.remaining)
            parts.insert(3, varint(len(self.window)))
            parts.append(order)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Position:
        """The position in a token whose signature was checked.

        Raises InvalidArgument: a token of another release.
        """
        try:
            return cls._decode(data)
        except (Malformed, IndexError, ValueError):
            raise InvalidArgument(
                "PAGE_TOKEN_INVALID", "the page token is of another release"
            ) from None

    @classmethod
    def _decode(cls, data: bytes) -> Position:
        if data[0] != _FORMAT:
            raise Malformed("another format")
        top, at = read_varint(data, 2)
        before, at = read_varint(data, at)
        window: list[PostId] = []
        remaining: list[PostId] = []
        if at < len(data):
            size, at = read_varint(data, at)
            above = top
            for _ in range(size):
                step, at = read_varint(data, at)
                above -= step
                window.append(PostId(above))
            remaining = [window[place] for place in data[at:]]
        return cls(ServedAs(data[1]), PostId(top), PostId(before), window, remaining)


def fitting(top: PostId, ids: Sequence[PostId], most: int) -> int:
    """How many of the ids, newest first, a token can hold; at most `most`."""
    spent, above = _HEAD_BYTES, top
    for count, post_id in enumerate(ids[: min(most, MOST)]):
        spent += max(1, ((above - post_id).bit_length() + 6) // 7) + 1
        if spent > _BUDGET:
            return count
        above = post_id
    return min(len(ids), most, MOST)
