"""Packed lists."""

from hypothesis import given
from hypothesis import strategies as st

from chassis import packed

ENTRIES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, (1 << 63) - 1)))


@given(ENTRIES)
def test_entries_come_back_newest_first_and_once(
    entries: list[tuple[int, int]],
) -> None:
    """Of one id, what was appended last."""
    unpacked = packed.unpack(packed.pack(entries))

    assert unpacked == sorted(dict(entries).items(), reverse=True)


def test_an_entry_is_sixteen_bytes_big_endian() -> None:
    """Scripts and other languages rely on it."""
    assert packed.pack([(1, 2)]) == b"\0" * 7 + b"\1" + b"\0" * 7 + b"\2"


def test_a_torn_end_is_left_out() -> None:
    """Half an entry is none."""
    assert packed.unpack(packed.pack([(3, 4)]) + b"\0\0") == [(3, 4)]
    assert packed.unpack(b"") == []
