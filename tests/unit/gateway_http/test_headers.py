"""Request headers with a meaning, and the tags of conditions."""

import pytest

from chassis.errors import Aborted, DeadlineExceeded, InvalidArgument

from gateway_http import conditional, headers
from gateway_http.frames import OFFERED, frames


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", headers.SSE),
        ("*/*", headers.SSE),
        ("text/event-stream", headers.SSE),
        ("application/x-ndjson", headers.NDJSON),
        ("application/json", headers.JSON),
        ("application/*", headers.NDJSON),
        ("application/json;q=0.5, application/x-ndjson;q=0.4", headers.JSON),
        ("text/event-stream;q=0, */*", headers.NDJSON),
        ("Application/JSON", headers.JSON),
        ("text/html", None),
        ("*/*;q=0", None),
        ("application/json;q=x", None),
    ],
)
def test_what_is_wanted_most_is_chosen(accept: str, chosen: str | None) -> None:
    """By quality, then by the order offered; the most specific range decides."""
    assert headers.choose(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", True),
        ("application/json, application/problem+json;q=0.9", True),
        ("application/problem+json;q=0", False),
    ],
)
def test_problem_documents_are_for_those_who_name_them(
    accept: str, wants: bool
) -> None:
    """Everyone else gets a google.rpc.Status."""
    assert headers.wants_problem(accept) is wants


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ('Application/JSON;charset="UTF-8"', True),
        ("", False),
        ("text/json", False),
        ("application/x-www-form-urlencoded", False),
        ("application/json; charset=latin-1", False),
        ("application/json, text/plain", False),
    ],
)
def test_only_json_in_utf_8_is_json(content_type: str, is_json: bool) -> None:
    """One type of body, in one encoding."""
    assert headers.is_json(content_type) is is_json


@pytest.mark.parametrize(
    ("grpc", "plain", "seconds"),
    [
        ("", "", None),
        ("100m", "", 0.1),
        ("2S", "", 2.0),
        ("1H", "", 3600.0),
        ("5M", "", 300.0),
        ("250u", "", 0.00025),
        ("", "1.5", 1.5),
        ("", "2s", 2.0),
        ("", "250ms", 0.25),
        ("1S", "0.5", 0.5),
    ],
)
def test_the_shorter_deadline_counts(
    grpc: str, plain: str, seconds: float | None
) -> None:
    """Either header may say it, in its own form."""
    given = headers.timeout(grpc, plain)
    assert given == pytest.approx(seconds) if seconds else given is None


@pytest.mark.parametrize(
    ("grpc", "plain"),
    [
        *((text, "") for text in ("1", "S", "-1S", "123456789S", "1.5S", "1s")),
        *(("", text) for text in ("x", "-1", "1e3", "1m", "inf", "nan")),
    ],
)
def test_a_deadline_of_another_form_is_refused(grpc: str, plain: str) -> None:
    """Rather than read as no deadline."""
    with pytest.raises(InvalidArgument):
        headers.timeout(grpc, plain)


@pytest.mark.parametrize(("grpc", "plain"), [("0S", ""), ("", "0"), ("9S", "0ms")])
def test_a_deadline_already_gone_is_over(grpc: str, plain: str) -> None:
    """504, without asking a service."""
    with pytest.raises(DeadlineExceeded):
        headers.timeout(grpc, plain)


@pytest.mark.parametrize("key", ["a", "~" * 128, "!", "0-9:a/b"])
def test_a_visible_key_passes(key: str) -> None:
    """1 to 128 visible ASCII characters (T33)."""
    assert headers.idempotency_key(key) == key


@pytest.mark.parametrize("key", ["a b", "a" * 129, "é", "\x7f", "a\tb"])
def test_any_other_key_is_refused(key: str) -> None:
    """Not shortened, not cleaned: another key is another request."""
    with pytest.raises(InvalidArgument):
        headers.idempotency_key(key)


def test_a_tag_names_the_bytes_and_the_resource() -> None:
    """The tag of a GET serves If-None-Match and If-Match both."""
    digest = conditional.digest(b"wire")
    tag = conditional.tag(digest, "e1").decode()

    assert conditional.not_modified(tag, digest) == tag.encode()
    assert conditional.not_modified(f'"x", W/{tag}', digest) == tag.encode()
    assert conditional.not_modified(tag, conditional.digest(b"other")) is None
    assert conditional.not_modified("", digest) is None
    assert conditional.expected_etag(tag) == "e1"


def test_the_bare_etag_field_matches_too() -> None:
    """As it stands in the JSON, in quotes."""
    assert conditional.expected_etag('"e1"') == "e1"
    assert conditional.expected_etag("*") == ""
    assert conditional.expected_etag("") == ""


@pytest.mark.parametrize("tag", ['W/"e1"', '""', '";w=abc"'])
def test_a_tag_that_names_no_version_matches_nothing(tag: str) -> None:
    """Weak tags never match strongly (RFC 9110)."""
    with pytest.raises(Aborted):
        conditional.expected_etag(tag)


@pytest.mark.parametrize("tag", ["e1", '"a", "b"', '"a', "'a'"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    """Not ignored: the caller meant a condition."""
    with pytest.raises(InvalidArgument):
        conditional.expected_etag(tag)


def test_an_event_cannot_break_out_of_its_lines() -> None:
    """Positions and names lose what would end a line (T21)."""
    framed = frames(headers.SSE).message(
        b"{}", position="a:1\r\nevent: x\0", event="added\ndata: y"
    )

    assert framed == b"id: a:1event: x\nevent: addeddata: y\ndata: {}\n\n"
