"""A strict look at a JSON text before any parser sees it.

Parsers differ in what they let pass and in how they fail: recursion errors, crashes on
deep nesting, the last of two equal keys. This scan is one loop over tokens without
recursion, linear in the text, and stops at the first limit. What it passes, it has
parsed too: a text is read by the scan and by orjson, and both must agree on it.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import orjson

from chassis.errors import InvalidArgument, Violation

MAX_DEPTH = 16
MAX_NODES = 2_000
# Longer than any number a field can hold: "-" and 17 digits, point and exponent.
MAX_NUMBER = 64

# Possessive quantifiers: no backtracking, so no text makes the match slow.
TOKEN = re.compile(
    r"""[ \t\n\r]*+(?:
        (?P<mark>[\[\]{},:])
      | (?P<string>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")
      | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?+)
      | (?P<word>true|false|null)
    )""",
    re.VERBOSE,
)
SPACE = re.compile(r"[ \t\n\r]*+")

# What may come next.
VALUE, VALUE_OR_END, KEY_OR_END, KEY, COLON, COMMA_OR_END, NOTHING = range(7)


def scan(body: bytes) -> Any:
    """The value of a JSON text.

    Raises InvalidArgument with REQUEST_TOO_LARGE for too many levels or nodes, and
    with BODY_INVALID for whatever else is not strict JSON: duplicate keys, NaN,
    unpaired surrogates, NUL, bytes that are no UTF-8.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as bad:
        raise _invalid("the body is not UTF-8", bad.start) from None
    _Scan(text).run()
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as bad:
        # What only decoding shows, like one half of a surrogate pair.
        raise _invalid(bad.msg, bad.pos) from None


class _Scan:
    """One pass; `keys` holds the keys of each open object, None for an array."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._keys: list[set[str] | None] = []
        self._nodes = 0
        self._expected = VALUE

    def run(self) -> None:
        text, at = self._text, 0
        match = TOKEN.match
        while self._expected != NOTHING:
            token = match(text, at)
            if token is None:
                _fail(text, at)
            kind = token.lastgroup
            if kind == "mark":
                self._mark(token["mark"], token.end() - 1)
            elif kind == "string":
                self._string(token["string"], token.start("string"))
            else:
                self._scalar(token[0], token.start())
            at = token.end()
        end = SPACE.match(text, at)
        if end is not None and end.end() != len(text):
            raise _invalid("something after the end of the value", end.end())

    def _mark(self, mark: str, at: int) -> None:
        expected = self._expected
        if mark in "[{":
            self._open(mark, at)
        elif mark == ":" and expected == COLON:
            self._expected = VALUE
        elif mark == "," and expected == COMMA_OR_END and self._keys:
            self._expected = VALUE if self._keys[-1] is None else KEY
        elif mark == "]" and expected in (VALUE_OR_END, COMMA_OR_END):
            self._close(array=True, at=at)
        elif mark == "}" and expected in (KEY_OR_END, COMMA_OR_END):
            self._close(array=False, at=at)
        else:
            raise _invalid(f"unexpected {mark!r}", at)

    def _open(self, mark: str, at: int) -> None:
        self._value(at)
        if len(self._keys) == MAX_DEPTH:
            raise _too_large("depth", MAX_DEPTH)
        array = mark == "["
        self._keys.append(None if array else set())
        self._expected = VALUE_OR_END if array else KEY_OR_END

    def _close(self, *, array: bool, at: int) -> None:
        if not self._keys or (self._keys[-1] is None) is not array:
            raise _invalid(f"unexpected {(']' if array else '}')!r}", at)
        self._keys.pop()
        self._after_value()

    def _string(self, token: str, at: int) -> None:
        if "\\u0000" in token and "\0" in _decoded(token, at):
            raise _invalid("a NUL character", at)
        if self._expected not in (KEY, KEY_OR_END):
            self._value(at)
            self._after_value()
            return
        key = _decoded(token, at) if "\\" in token else token[1:-1]
        keys = self._keys[-1]
        if keys is None or key in keys:
            raise _invalid("a name twice in one object", at, field=key)
        keys.add(key)
        self._expected = COLON

    def _scalar(self, token: str, at: int) -> None:
        self._value(at)
        if len(token.strip()) > MAX_NUMBER:
            raise _invalid("a number of too many digits", at)
        self._after_value()

    def _value(self, at: int) -> None:
        if self._expected not in (VALUE, VALUE_OR_END):
            raise _invalid("a value where none is expected", at)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _too_large("nodes", MAX_NODES)

    def _after_value(self) -> None:
        self._expected = COMMA_OR_END if self._keys else NOTHING


def _decoded(token: str, at: int) -> str:
    try:
        return str(orjson.loads(token))
    except orjson.JSONDecodeError as bad:
        raise _invalid(bad.msg, at) from None


def _fail(text: str, at: int) -> NoReturn:
    found = SPACE.match(text, at)
    at = found.end() if found is not None else at
    raise _invalid("the text ends too early" if at >= len(text) else "not JSON", at)


def _invalid(why: str, at: int, field: str = "") -> InvalidArgument:
    return InvalidArgument(
        "BODY_INVALID",
        f"The body is not strict JSON: {why} (at {at}).",
        metadata={"position": str(at)},
        violations=(Violation(field, why),) if field else (),
    )


def _too_large(what: str, limit: int) -> InvalidArgument:
    return InvalidArgument(
        "REQUEST_TOO_LARGE",
        f"The body has more than {limit} {'levels' if what == 'depth' else what}.",
        metadata={"what": what, "limit": str(limit)},
    )
