"""How the ids of a user namespace are laid out."""

import pytest

from chassis.embedded.credentials import swapped


@pytest.mark.parametrize(
    ("known", "lines"),
    [
        # The machine itself.
        ([(0, 2**32 - 1)], [(1, 0, 1), (0, 1, 1), (2, 2, 2**32 - 3)]),
        # A container that knows root and a range of others.
        ([(0, 1), (1, 65535)], [(1, 0, 1), (0, 1, 1), (2, 2, 65534)]),
        # One that knows nobody but root.
        ([(0, 1)], [(1, 0, 1)]),
    ],
)
def test_root_and_one_change_places(
    known: list[tuple[int, int]], lines: list[tuple[int, int, int]]
) -> None:
    """Inside nobody is root who is root outside, and no id is left out."""
    assert swapped(known) == lines
