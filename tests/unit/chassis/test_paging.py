"""Page sizes and signed tokens."""

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import paging
from chassis.errors import InvalidArgument
from chassis.paging import PageTokens
from chassis.testing import FakeClock, refuses

KEY = b"k" * 32
SCOPE = "ListFollowers user=7"


def tokens(
    clock: FakeClock | None = None, keys: dict[str, bytes] | None = None
) -> PageTokens:
    return PageTokens(
        keys=keys or {"a": KEY}, clock=clock or FakeClock(), ttl=timedelta(hours=1)
    )


@pytest.mark.parametrize(
    ("asked", "given"), [(0, 20), (1, 1), (100, 100), (101, 100), (-1, 20)]
)
def test_a_page_size_is_brought_into_range(asked: int, given: int) -> None:
    """0 means the default, too many the ceiling."""
    assert paging.clamp(asked, default=20, ceiling=100) == given


@given(st.binary(max_size=500), st.text(max_size=50), st.integers(0, (1 << 63) - 1))
def test_a_token_opens_to_what_was_sealed(
    position: bytes, scope: str, reader: int
) -> None:
    """For its reader and its list."""
    token = tokens().seal(scope=scope, reader=reader, position=position)

    assert tokens().open(token, scope=scope, reader=reader) == position


@pytest.mark.parametrize(
    ("scope", "reader"), [("ListFollowers user=8", 1), (SCOPE, 2), ("", 1)]
)
def test_a_token_is_of_one_reader_and_one_list(scope: str, reader: int) -> None:
    """Nobody pages with the token of somebody else."""
    token = tokens().seal(scope=SCOPE, reader=1, position=b"p")

    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        tokens().open(token, scope=scope, reader=reader)


def test_no_bit_of_a_token_can_be_changed() -> None:
    """The signature covers all of it."""
    raw = base64.urlsafe_b64decode(
        tokens().seal(scope=SCOPE, reader=1, position=b"position") + "=="
    )
    for bit in range(8 * len(raw)):
        forged = bytearray(raw)
        forged[bit // 8] ^= 1 << bit % 8
        token = base64.urlsafe_b64encode(forged).decode().rstrip("=")
        with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
            tokens().open(token, scope=SCOPE, reader=1)


@given(st.text(max_size=200))
def test_any_other_text_is_refused_in_the_same_way(text: str) -> None:
    """Malformed or forged: a caller cannot tell."""
    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        tokens().open(text, scope=SCOPE, reader=1)


def test_a_token_expires() -> None:
    """It is good for its time and not longer."""
    clock = FakeClock()
    issued = tokens(clock)
    token = issued.seal(scope=SCOPE, reader=1, position=b"p")
    clock.advance(3600)
    assert issued.open(token, scope=SCOPE, reader=1) == b"p"

    clock.advance(1)
    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        issued.open(token, scope=SCOPE, reader=1)


def test_keys_can_be_changed_while_tokens_are_out() -> None:
    """The first key signs, all of them verify, others do not."""
    old = {"a": KEY}
    both = {"b": b"n" * 32, "a": KEY}
    token = tokens(keys=old).seal(scope=SCOPE, reader=1, position=b"p")
    assert tokens(keys=both).open(token, scope=SCOPE, reader=1) == b"p"

    new = tokens(keys=both).seal(scope=SCOPE, reader=1, position=b"p")
    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        tokens(keys=old).open(new, scope=SCOPE, reader=1)
