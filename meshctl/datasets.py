"""Readers of the data sets that `meshctl import` takes: follows, activity, texts.

Files are plain or gzipped, one record a line, fields separated by white space.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TextIO

# What a post may hold (CreatePostRequest.text).
TEXT_LIMIT = 500


class DataError(ValueError):
    """A line that is not of the form the file should have."""


class ActionKind(StrEnum):
    """What an activity line tells of its first account."""

    SHARE = "RT"
    MENTION = "MT"
    COMMENT = "RE"


@dataclass(frozen=True, slots=True)
class Action:
    """One activity line: actor did something to target."""

    line: int
    actor: str
    target: str
    kind: ActionKind


def open_text(path: Path) -> TextIO:
    """Opens a plain or gzipped file as UTF-8 text."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def follows(path: Path, prefix: str) -> Iterator[tuple[str, str]]:
    """(follower, followee) handles of a file of `follower followee` lines.

    Lines in which somebody follows themself are dropped.
    """
    for number, fields in _records(path, at_least=2):
        follower, followee = fields[:2]
        _account(path, number, follower)
        _account(path, number, followee)
        if follower != followee:
            yield prefix + follower, prefix + followee


def follows_from_activity(path: Path, prefix: str) -> Iterator[tuple[str, str]]:
    """Distinct (follower, followee): A follows B where A ever acted upon B."""
    seen: set[tuple[str, str]] = set()
    for action in activity(path, prefix):
        edge = (action.actor, action.target)
        if edge not in seen:
            seen.add(edge)
            yield edge


def activity(path: Path, prefix: str, limit: int | None = None) -> Iterator[Action]:
    """Actions of the first `limit` lines of `actor target unix_seconds KIND`.

    Lines in which somebody acts upon themself count towards the limit and are
    dropped.
    """
    for number, fields in _records(path, at_least=4):
        if limit is not None and number > limit:
            return
        actor, target, _, kind = fields[:4]
        _account(path, number, actor)
        _account(path, number, target)
        try:
            what = ActionKind(kind)
        except ValueError:
            raise DataError(
                f"{path}:{number}: kind {kind!r} is none of RT, MT, RE"
            ) from None
        if actor != target:
            yield Action(number, prefix + actor, prefix + target, what)


def texts(path: Path) -> list[str]:
    """Texts of a file of `label TAB text` lines that are labelled ham.

    Control characters become spaces, and texts are cut to what a post may hold.
    """
    found = []
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            label, tab, text = line.rstrip("\n").partition("\t")
            if not tab:
                raise DataError(f"{path}:{number}: no tab between label and text")
            clean = " ".join("".join(map(_printable, text)).split())
            if label == "ham" and clean:
                found.append(clean[:TEXT_LIMIT])
    if not found:
        raise DataError(f"{path}: no text labelled ham")
    return found


def _records(path: Path, *, at_least: int) -> Iterator[tuple[int, list[str]]]:
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            fields = line.split()
            if len(fields) < at_least:
                raise DataError(
                    f"{path}:{number}: {len(fields)} fields, needs {at_least}"
                )
            yield number, fields


def _account(path: Path, number: int, name: str) -> None:
    if not (name.isascii() and name.isalnum() and name == name.lower()):
        raise DataError(f"{path}:{number}: {name!r} cannot be part of a handle")


def _printable(char: str) -> str:
    return char if char.isprintable() else " "
