"""Path templates of google.api.http, compiled into one trie.

    Template = "/" Segments [ Verb ] ;
    Segments = Segment { "/" Segment } ;
    Segment  = "*" | "**" | LITERAL | Variable ;
    Variable = "{" FieldPath [ "=" Segments ] "}" ;
    Verb     = ":" LITERAL ;

A literal beats `*`, and `*` beats `**`, from left to right. Two templates that match
the same paths cannot both be added for one HTTP method.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

T = TypeVar("T")

LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()+;@-]|%[0-9A-Fa-f]{2})+")
FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")

# RFC 6570 section 1.5: kept escaped where a variable spans segments.
RESERVED = frozenset(b"!#$&'()*+,/:;=?@[]")


class TemplateError(ValueError):
    """The template is not one of the grammar, or clashes with another."""


@dataclass(frozen=True)
class Variable:
    """A field that takes part of the path: segments from start up to end."""

    path: tuple[str, ...]
    start: int
    end: int | None
    """None where the variable ends in `**`, and so with the path."""

    multi: bool
    """Spans more than a single `*`, and so keeps reserved characters escaped."""


@dataclass(frozen=True)
class Template:
    """A parsed template."""

    text: str
    segments: tuple[str, ...]
    """Literals, decoded nowhere, and the two wildcards."""

    verb: str
    variables: tuple[Variable, ...]


@dataclass(frozen=True)
class Match(Generic[T]):
    """What a path led to."""

    value: T
    fields: Mapping[tuple[str, ...], str]
    """Text of each variable, unescaped as the grammar says."""


@dataclass
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    star: _Node[T] | None = None
    rest: _Node[T] | None = None
    ends: dict[str, dict[str, tuple[Template, T]]] = field(default_factory=dict)
    """Verb, then HTTP method, to what is served there."""


class Trie(Generic[T]):
    """Templates to values, by HTTP method."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, text: str, value: T) -> Template:
        template = parse(text)
        node = self._root
        for segment in template.segments:
            node = self._child(node, segment)
        methods = node.ends.setdefault(template.verb, {})
        if method in methods:
            other = methods[method][0].text
            raise TemplateError(f"{method} {text} matches the same paths as {other}")
        methods[method] = (template, value)
        return template

    def match(self, method: str, path: str) -> Match[T] | frozenset[str]:
        """The value for a raw path (not unescaped, without query).

        Otherwise the HTTP methods that the path takes: none where there is nothing.
        """
        allowed: set[str] = set()
        for segments, methods in self._ends(path):
            found = methods.get(method)
            if found is not None:
                template, value = found
                return Match(value, _captured(template, segments))
            allowed.update(methods)
        return frozenset(allowed)

    @staticmethod
    def _child(node: _Node[T], segment: str) -> _Node[T]:
        if segment == "*":
            node.star = node.star or _Node()
            return node.star
        if segment == "**":
            node.rest = node.rest or _Node()
            return node.rest
        return node.literals.setdefault(_unescaped(segment, multi=False), _Node())

    def _ends(
        self, path: str
    ) -> Iterator[tuple[list[str], dict[str, tuple[Template, T]]]]:
        """Every end that the path reaches, the most specific first."""
        if not path.startswith("/"):
            return
        plain = path[1:].split("/")
        head, colon, verb = plain[-1].rpartition(":")
        if colon and verb:
            with_verb = [*plain[:-1], head]
            for node in _reached(self._root, with_verb, 0):
                if verb in node.ends:
                    yield with_verb, node.ends[verb]
        for node in _reached(self._root, plain, 0):
            if "" in node.ends:
                yield plain, node.ends[""]


def _reached(node: _Node[T], segments: list[str], at: int) -> Iterator[_Node[T]]:
    """Nodes at the end of the path; as deep as the deepest template, at most."""
    if at == len(segments):
        yield node
    else:
        segment = segments[at]
        literal = node.literals.get(_unescaped(segment, multi=False))
        if literal is not None:
            yield from _reached(literal, segments, at + 1)
        if node.star is not None and segment:
            yield from _reached(node.star, segments, at + 1)
    if node.rest is not None:
        yield node.rest


def _captured(template: Template, segments: list[str]) -> dict[tuple[str, ...], str]:
    return {
        variable.path: _unescaped(
            "/".join(segments[variable.start : variable.end]), multi=variable.multi
        )
        for variable in template.variables
    }


def _unescaped(text: str, *, multi: bool) -> str:
    """Percent-decoded; reserved characters stay escaped where segments are joined.

    Bytes that are no UTF-8 become U+FFFD, which no field of ours takes.
    """
    if "%" not in text:
        return text
    if multi:
        text = ESCAPE.sub(_kept, text)
    return unquote_to_bytes(text).decode(errors="replace")


def _kept(escape: re.Match[str]) -> str:
    # Escaped once more, the one unescaping that follows leaves it as it was.
    return f"%25{escape[1]}" if int(escape[1], 16) in RESERVED else escape[0]


def parse(text: str) -> Template:
    """The parts of a template."""
    parser = _Parser(text)
    return parser.template()


class _Parser:
    """Recursive descent over one template; the grammar does not nest variables."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._segments: list[str] = []
        self._variables: list[Variable] = []

    def template(self) -> Template:
        self._expect("/")
        self._run_of_segments(inside=False)
        verb = ""
        if self._accept(":"):
            verb = self._token(LITERAL, "a verb")
        if self._at != len(self._text):
            raise self._error("something after the end")
        if "**" in self._segments[:-1]:
            raise self._error("`**` before the last segment")
        paths = [variable.path for variable in self._variables]
        if len(set(paths)) != len(paths):
            raise self._error("a field bound twice")
        return Template(self._text, tuple(self._segments), verb, tuple(self._variables))

    def _run_of_segments(self, *, inside: bool) -> None:
        self._segment(inside=inside)
        while self._accept("/"):
            self._segment(inside=inside)

    def _segment(self, *, inside: bool) -> None:
        if self._accept("{"):
            if inside:
                raise self._error("a variable within a variable")
            self._variable()
        elif self._accept("**"):
            self._segments.append("**")
        elif self._accept("*"):
            self._segments.append("*")
        else:
            self._segments.append(self._token(LITERAL, "a segment"))

    def _variable(self) -> None:
        path = tuple(self._token(FIELD_PATH, "a field path").split("."))
        start = len(self._segments)
        if self._accept("="):
            self._run_of_segments(inside=True)
        else:
            self._segments.append("*")
        self._expect("}")
        spanned = self._segments[start:]
        self._variables.append(
            Variable(
                path=path,
                start=start,
                end=None if spanned[-1] == "**" else len(self._segments),
                multi=spanned != ["*"],
            )
        )

    def _accept(self, token: str) -> bool:
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise self._error(f"`{token}` expected")

    def _token(self, pattern: re.Pattern[str], what: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._error(f"{what} expected")
        self._at = found.end()
        return found[0]

    def _error(self, why: str) -> TemplateError:
        return TemplateError(f"{self._text!r} at {self._at}: {why}")
