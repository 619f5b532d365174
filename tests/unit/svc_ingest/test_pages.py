"""Pages over lists of which some rows are hidden."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from chassis.errors import InvalidArgument
from chassis.paging import PageTokens
from chassis.testing import FakeClock, refuses

from svc_ingest.model import UserId
from svc_ingest.pages import ROUNDS, Pages, Rows

ANN, BOB = UserId(1), UserId(2)


def pages() -> Pages:
    return Pages(
        tokens=PageTokens(
            keys={"k": b"0" * 32}, clock=FakeClock(), ttl=timedelta(days=1)
        )
    )


class Numbers:
    """The numbers below a bound, newest first; some of them hidden."""

    def __init__(self, highest: int, hidden: set[int] = frozenset()) -> None:  # type: ignore[assignment] # only read
        self._highest = highest
        self._hidden = hidden
        self.reads = 0

    @property
    def rows(self) -> Rows[int]:
        return Rows(read=self._read, keep=self._keep, position=lambda number: number)

    async def _read(self, before: int, limit: int) -> list[int]:
        self.reads += 1
        top = min(before - 1, self._highest)
        return list(range(top, max(top - limit, 0), -1))

    async def _keep(self, rows: Sequence[int]) -> list[int]:
        return [row for row in rows if row not in self._hidden]


async def every_page(numbers: Numbers, size: int) -> list[list[int]]:
    token, found = "", []
    while True:
        page = await pages().fill(
            numbers.rows, scope="numbers", reader=ANN, size=size, token=token
        )
        found.append(page.items)
        token = page.next_token
        if not token:
            return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("hidden", [set(), {5}, {1, 2, 3}, set(range(3, 8))])
async def test_following_tokens_yields_every_visible_row_once(
    size: int, hidden: set[int]
) -> None:
    """Pages join without gap or repeat, newest first."""
    found = await every_page(Numbers(10, hidden), size)

    assert [n for page in found for n in page] == [
        n for n in range(10, 0, -1) if n not in hidden
    ]


async def test_a_page_is_full_although_rows_are_hidden() -> None:
    """Hidden rows are replaced by older ones."""
    found = await every_page(Numbers(20, {20, 19, 17}), 5)

    assert found[0] == [18, 16, 15, 14, 13]


async def test_the_last_page_has_no_token_when_it_is_just_full() -> None:
    """Exactly as many rows as the page holds: nobody is sent on for nothing."""
    assert await every_page(Numbers(4), 2) == [[4, 3], [2, 1]]


async def test_hidden_rows_cannot_keep_a_page_reading() -> None:
    """Work is bounded; the token goes on behind what was looked at."""
    numbers = Numbers(10_000, set(range(100, 10_001)))
    page = await pages().fill(
        numbers.rows, scope="numbers", reader=ANN, size=10, token=""
    )

    assert numbers.reads == ROUNDS
    assert page.items == []
    assert page.next_token


@pytest.mark.parametrize(
    ("scope", "reader"), [("numbers", BOB), ("others", ANN)], ids=["reader", "list"]
)
async def test_a_token_is_good_for_its_reader_and_list_alone(
    scope: str, reader: UserId
) -> None:
    """A token of somebody else, or of another list, is refused."""
    numbers = Numbers(10)
    page = await pages().fill(
        numbers.rows, scope="numbers", reader=ANN, size=2, token=""
    )

    with refuses(InvalidArgument, "PAGE_TOKEN_INVALID"):
        await pages().fill(
            numbers.rows, scope=scope, reader=reader, size=2, token=page.next_token
        )
    assert numbers.reads == 1
