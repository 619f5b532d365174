"""Protobuf wire format by hand, for the few shapes that the hot path reads and joins.

A page of twenty posts built from message objects costs about 90 µs, joined from
frames well under one. What is written here is what the generated classes would
write: fields in the order of their numbers, defaults left out
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from domain.visibility import PostFacts

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

_DOUBLE = struct.Struct("<d")


class Malformed(ValueError):
    """Bytes that are not a message."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Two groups at a time: as a number that ends there, and as one that goes on.
_LAST = [_varint(value) for value in range(1 << 14)]
_MORE = [bytes((value & 0x7F | 0x80, value >> 7 | 0x80)) for value in range(1 << 14)]


def varint(value: int) -> bytes:
    """A non-negative number in base 128, low groups first."""
    if value < 1 << 14:
        return _LAST[value]
    out = b""
    while value >= 1 << 14:
        out += _MORE[value & 0x3FFF]
        value >>= 14
    return out + _LAST[value]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and the offset behind it."""
    value = shift = 0
    try:
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
            if shift > 63:
                raise Malformed("a number of more than ten bytes")
    except IndexError:
        raise Malformed("a number that does not end") from None


def nested(field: int, body: bytes) -> bytes:
    """A message, string or bytes as a field of another message."""
    return varint(field << 3 | LENGTH) + varint(len(body)) + body


def number(field: int, value: int) -> bytes:
    """A number or enum as a field; nothing when it is 0."""
    return varint(field << 3 | VARINT) + varint(value) if value else b""


def text(field: int, value: str) -> bytes:
    """A string as a field; nothing when it is empty."""
    return nested(field, value.encode()) if value else b""


def double(field: int, value: float) -> bytes:
    """A double as a field; nothing when it is +0."""
    packed = _DOUBLE.pack(value)
    return varint(field << 3 | FIXED64) + packed if any(packed) else b""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field; raises Malformed."""
    at, end = 0, len(data)
    while at < end:
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield tag >> 3, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if kind == LENGTH:
            size, at = read_varint(data, at)
        if size is None or at + size > end:
            raise Malformed("a field that does not fit")
        yield tag >> 3, data[at : at + size]
        at += size


def numbers(data: bytes) -> dict[int, int]:
    """The numeric fields of a message, by field number."""
    return {field: value for field, value in fields(data) if isinstance(value, int)}


def post_facts(body: bytes) -> PostFacts:
    """What decides who may see a post, from the bytes of a Post."""
    found = numbers(body)
    return PostFacts(
        post_id=found.get(1, 0),
        author_id=found.get(2, 0),
        visibility=found.get(4, 0),
        share_of=found.get(6, 0),
        quote_of=found.get(7, 0),
    )


def stats_counts(body: bytes) -> tuple[int, int, int]:
    """Likes, comments and shares, from the bytes of a PostStats."""
    found = numbers(body)
    return found.get(1, 0), found.get(2, 0), found.get(3, 0)


def page(
    items: Sequence[bytes],
    *,
    token: str,
    served_as: int,
    served_from: int,
    new_posts: int,
    end_reason: int,
) -> bytes:
    """A GetHomeFeedResponse of ready items."""
    parts = [nested(1, item) for item in items]
    parts.append(text(2, token))
    parts.append(number(3, served_as))
    parts.append(number(4, served_from))
    parts.append(number(5, new_posts))
    parts.append(number(6, end_reason))
    return b"".join(parts)


def score(value: float, terms: Sequence[tuple[str, float]]) -> bytes:
    """A Score message."""
    return double(1, value) + b"".join(
        nested(2, text(1, name) + double(2, share)) for name, share in terms
    )
