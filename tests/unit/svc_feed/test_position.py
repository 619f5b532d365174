"""Positions in page tokens: what goes in comes out, and it always fits."""

from __future__ import annotations

import base64
from contextlib import suppress
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidArgument
from chassis.paging import PageTokens
from chassis.testing import FakeClock, refuses

from svc_feed.model import PostId, ServedAs
from svc_feed.position import MOST, Position, fitting

ids = st.integers(min_value=1, max_value=2**63 - 2)


TOKENS = PageTokens(
    keys={"key-2026-01": b"0" * 32}, clock=FakeClock(), ttl=timedelta(days=1)
)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    """Positions as sessions make them: cut to what fits."""
    window = sorted(draw(st.sets(ids, min_size=1, max_size=MOST)), reverse=True)
    top = window[0]
    window = window[: fitting(PostId(top), list(map(PostId, window)), MOST)]
    order = draw(st.permutations(window))
    shown = draw(st.integers(min_value=0, max_value=len(order)))
    remaining = order[shown:]
    return Position(
        draw(st.sampled_from(ServedAs)),
        PostId(top),
        PostId(draw(st.integers(min_value=0, max_value=2**63 - 1))),
        list(map(PostId, window)) if remaining else [],
        list(map(PostId, remaining)),
    )


@given(position=positions())
def test_a_position_reads_as_it_was_written(position: Position) -> None:
    """Window and order survive the token."""
    assert Position.decode(position.encode()) == position


@given(position=positions())
def test_a_token_is_never_longer_than_the_contract_allows(position: Position) -> None:
    """page_token takes 1,024 characters, whatever ids a window holds."""
    token = TOKENS.seal(scope="s", reader=1, position=position.encode())

    assert len(token) <= 1024


def test_a_usual_window_is_hardly_cut() -> None:
    """Of a hundred posts within a month, most are ranked."""
    step = (30 * 24 * 3600 * 1000 // 100) << 22
    window = [PostId((2**40 << 22) - step * place) for place in range(100)]

    assert fitting(window[0], window, 100) >= 80


@given(data=st.binary(max_size=60))
def test_bytes_of_another_release_are_an_invalid_token(data: bytes) -> None:
    """A signed token whose inside cannot be read fails as any bad token does."""
    with suppress(InvalidArgument):
        Position.decode(data)


def test_an_unknown_format_is_an_invalid_token() -> None:
    """The first byte names the format."""
    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        Position.decode(base64.b64decode("Y2hhbmdlZA=="))
