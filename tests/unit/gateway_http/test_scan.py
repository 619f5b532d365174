"""The strict scan: what it refuses, what it passes, and that it always ends soon."""

import json
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidArgument

from gateway_http.scan import MAX_DEPTH, MAX_NODES, scan

KB64 = 64 * 1024


def refusal(body: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        scan(body)
    return caught.value.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"[",
        b"{",
        b"]",
        b"[}",
        b"{]",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b'{"a"}',
        b'{"a" 1}',
        b'{"a":}',
        b'{"a":1,}',
        b'{"a"::1}',
        b"{1:2}",
        b"{a:1}",
        b"1 2",
        b"{}{}",
        b"{} x",
        b"nul",
        b"True",
        b"NaN",
        b"[NaN]",
        b"Infinity",
        b"-Infinity",
        b"+1",
        b"01",
        b"1.",
        b".5",
        b"1e",
        b"1e400",
        b"0x10",
        b"'a'",
        b'"a',
        b'"\\x"',
        b'"\\u12"',
        b'"\t"',
        b'"\x00"',
        b'"\\u0000"',
        b'{"\\u0000":1}',
        b"\xef\xbb\xbf{}",
        b"\xff",
        b'"\xc3"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b"[1] // no",
        b"[\x0c]",
        b"[\xc2\xa0]",
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'[{"b":{"a":1,"a":2}}]',
        b"1" * 5_000,
        b'{"a":-' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    """Every reading but the strict one is refused, with the reason for it."""
    assert refusal(body) == "BODY_INVALID"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * KB64,
        b'{"text":' * (KB64 // 8),
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" + b"1," * MAX_NODES + b"1]",
        b"[" + b"{}," * (KB64 // 3) + b"{}]",
        b"[" + b'"",' * (KB64 // 3) + b'""]',
    ],
)
def test_too_deep_or_too_many_is_refused_at_the_limit(body: bytes) -> None:
    """Neither depth nor count reaches a parser that could fall over."""
    assert refusal(body) == "REQUEST_TOO_LARGE"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" + b"1," * (MAX_NODES - 2) + b"1]",
        b' \t\r\n{"a" : [1 , -0.5e+3, true, false, null, "\\ud83d\\ude00"] } ',
        b'"\\\\u0000"',
        b'{"a":{"a":1},"b":{"a":1}}',
        b'{"a":9223372036854775807}',
        '"é"'.encode(),
        b'"' + b"x" * (KB64 - 2) + b'"',
    ],
)
def test_strict_json_within_the_limits_passes(body: bytes) -> None:
    """What passes means what it means to everyone."""
    assert scan(body) == json.loads(body)


@pytest.mark.parametrize(
    "piece", [b"[", b'{"a":', b'"', b'\\"', b'"a\\', b" ", b"1", b",", b"{}", b"\\u00"]
)
@pytest.mark.parametrize("head", [b"", b"[", b'["', b'{"'])
def test_no_text_takes_long(head: bytes, piece: bytes) -> None:
    """Linear: 64 KB of anything are looked at in a small part of a deadline."""
    body = (head + piece * KB64)[:KB64]
    started = perf_counter()
    with pytest.raises(InvalidArgument):
        scan(body)

    assert perf_counter() - started < 0.25


values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text().filter(lambda text: "\0" not in text),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text().filter(lambda text: "\0" not in text), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(values, st.booleans())
def test_whatever_json_writes_is_read_back(value: Any, ascii_only: bool) -> None:
    """No value that others can write is lost here."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert scan(text.encode()) == value


@given(st.binary(max_size=60) | st.text('[]{}",:\\u01a ', max_size=40).map(str.encode))
def test_what_passes_is_json_to_the_standard_library_too(body: bytes) -> None:
    """The scan never passes what a strict parser refuses."""
    try:
        value = scan(body)
    except InvalidArgument:
        return

    assert json.loads(body) == value
