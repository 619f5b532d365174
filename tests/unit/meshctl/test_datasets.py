"""The files that `meshctl import` reads."""

import gzip
from pathlib import Path

import pytest

from meshctl import datasets
from meshctl.datasets import Action, ActionKind, DataError


def written(folder: Path, text: str, name: str = "data.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_follows_are_prefixed_and_self_lines_dropped(tmp_path: Path) -> None:
    """Nobody follows themself, whatever the file says."""
    path = written(tmp_path, "1 2\n3 3\n2 1\n")

    assert list(datasets.follows(path, "fb")) == [("fb1", "fb2"), ("fb2", "fb1")]


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    """The ending of the name decides."""
    path = tmp_path / "data.txt.gz"
    path.write_bytes(gzip.compress(b"1 2\n"))

    assert list(datasets.follows(path, "fb")) == [("fb1", "fb2")]


def test_activity_gives_each_edge_once(tmp_path: Path) -> None:
    """Acting upon somebody again is the same follow."""
    path = written(tmp_path, "1 2 9 RT\n1 2 10 MT\n2 2 11 RE\n2 1 12 RE\n")

    assert list(datasets.follows_from_activity(path, "hg")) == [
        ("hg1", "hg2"),
        ("hg2", "hg1"),
    ]


def test_limit_counts_lines_of_the_file(tmp_path: Path) -> None:
    """A dropped self-line is one of the lines."""
    path = written(tmp_path, "2 2 9 RE\n1 2 9 RT\n1 3 9 MT\n")

    assert list(datasets.activity(path, "hg", limit=2)) == [
        Action(2, "hg1", "hg2", ActionKind.SHARE)
    ]


@pytest.mark.parametrize("line", ["1", "1 2 3", "1 2 3 XX", "a/b 2 3 RT", "A 2 3 RT"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    """The error says file and line."""
    path = written(tmp_path, f"1 2 9 RT\n{line}\n")

    with pytest.raises(DataError, match=":2: "):
        list(datasets.activity(path, "hg"))


def test_texts_are_ham_without_control_characters(tmp_path: Path) -> None:
    """Spam is left out; what a post cannot hold becomes a space."""
    path = written(tmp_path, "ham\tone\x07two\nspam\twin\nham\t" + "x" * 600 + "\n")

    assert datasets.texts(path) == ["one two", "x" * 500]
