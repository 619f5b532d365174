"""Packed lists: 16 bytes an entry, two big-endian int64, in one Valkey string.

Appended at the end in any order; sorted and de-duplicated when read.
"""

import struct
from array import array
from collections.abc import Iterable

ENTRY_BYTES = 16

_ENTRY = struct.Struct(">qq")

Entry = tuple[int, int]
"""An id that orders the list (a post), and what is kept with it (its author)."""


def pack(entries: Iterable[Entry]) -> bytes:
    """The entries' bytes, in the order given."""
    return b"".join([_ENTRY.pack(first, second) for first, second in entries])


def unpack(packed: bytes) -> list[Entry]:
    """The entries, largest id first; of one id, what was appended last.

    A torn end, which a length that is not a multiple of 16 would mean, is
    left out.
    """
    return sorted(table(packed).items(), reverse=True)


def table(packed: bytes) -> dict[int, int]:
    """The same as what is kept by id, in no order: for who wants a few of many."""
    numbers = array("q", packed[: len(packed) // ENTRY_BYTES * ENTRY_BYTES])
    if _LITTLE_ENDIAN:
        numbers.byteswap()
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


_LITTLE_ENDIAN = array("q", _ENTRY.pack(1, 0)[:8])[0] != 1
